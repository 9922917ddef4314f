#include "dist/reduction/reduction_fault.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "core/base/error.h"
#include "core/parallel/agreement.h"
#include "core/parallel/gradient_reducer.h"

namespace thaw {

std::string coverage_fault(const BucketMap& map, std::span<const std::size_t> launched,
                           std::span<const NamedTensor> active) {
  std::vector<int> times(active.size(), 0);
  for (const std::size_t bucket : launched) {
    for (const BucketSlot& slot : map.buckets()[bucket].slots) {
      if (slot.parameter >= active.size()) {
        return fmt::format("bucket {} holds a gradient that belongs to no active parameter",
                           bucket);
      }
      ++times[slot.parameter];
    }
  }
  for (std::size_t i = 0; i < active.size(); ++i) {
    if (times[i] != 1) {
      return fmt::format("the gradient of parameter \"{}\" was reduced {} times in one step",
                         active[i].name, times[i]);
    }
  }
  return {};
}

// The flags are equal on all ranks, so all of them throw together.
void refuse_unused(std::span<const double> flags, std::span<const NamedTensor> active,
                   const std::string& parts) {
  const double took_part = flags.back();
  for (std::size_t i = 0; i < active.size(); ++i) {
    if (flags[i] >= took_part) continue;
    RunError error(fmt::format(
        "parameter \"{}\" is active but got a gradient on {} of the {} {} that had samples; "
        "freeze it, or set distributed.unused to \"allow\" to count it as zero there",
        active[i].name, flags[i], took_part, parts));
    error.mark_agreed();
    throw error;
  }
}

std::vector<double> sum_flags(std::vector<double> flags, std::span<double> along,
                              Communicator& communicator) {
  const std::size_t own = flags.size();
  flags.insert(flags.end(), along.begin(), along.end());
  communicator.all_reduce(flags);
  std::copy(flags.begin() + static_cast<std::ptrdiff_t>(own), flags.end(), along.begin());
  flags.resize(own);
  return flags;
}

void agree_on_fault(Communicator& communicator, const std::string& local_fault) {
  std::optional<LocalFailure> failure;
  if (!local_fault.empty()) failure = {ExitStatus::kDisagreement, local_fault};
  try {
    agree(communicator, failure);
  } catch (const DisagreementError& error) {
    ReductionMismatch mismatch(error.what());
    mismatch.mark_agreed();
    throw mismatch;
  }
}

}  // namespace thaw
