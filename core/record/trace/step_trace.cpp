#include "core/record/trace/step_trace.h"

#include <fmt/format.h>

#include <utility>
#include <vector>

#include "core/base/error.h"
#include "core/base/progress/notice.h"
#include "core/base/system.h"
#include "core/base/whole_file.h"
#include "core/parallel/communicator.h"
#include "core/record/trace/chrome_trace.h"

namespace thaw {

StepTrace::StepTrace(Communicator& communicator, std::filesystem::path folder, std::int64_t steps,
                     std::int64_t done, std::function<void()> may_write)
    : communicator_(communicator),
      folder_(std::move(folder)),
      first_(done + 1),
      last_(done + steps),
      may_write_(std::move(may_write)) {
  if (steps == 0) return;
  // Ranks leave it within microseconds of each other on a host, and of the network's delay between
  // hosts: from here their clocks agree so well.
  communicator_.barrier();
  recorder_.emplace(done);
}

std::function<void(std::int64_t)> StepTrace::after_step() {
  if (!recorder_) return {};
  return [this](std::int64_t step) {
    if (step == last_ && recorder_) write();
  };
}

void StepTrace::write() {
  const std::vector<std::string> all =
      communicator_.all_gather(spans_to_bytes({host_name(), recorder_->spans()}));
  recorder_.reset();
  if (communicator_.rank() != 0) return;
  std::vector<RankSpans> ranks;
  for (const std::string& bytes : all) ranks.push_back(spans_from_bytes(bytes));
  may_write_();
  try {
    write_whole_file(folder_ / fmt::format("trace-{}.json", first_), chrome_trace(ranks));
  } catch (const RunError& error) {
    // It is for whoever looks, and nothing of the training.
    say(fmt::format("thaw: warning: {}; training goes on without a trace\n", error.what()));
  }
}

}  // namespace thaw
