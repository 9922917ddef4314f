#include "dist/data_parallel/step_header.h"

#include <ATen/ops/zeros.h>

#include <exception>

namespace thaw {

// While an exception unwinds, the other ranks may never say theirs: what was started stays with
// the process then, since it can be neither cancelled nor waited for.
StepHeader::~StepHeader() {
  if (!pending_ || std::uncaught_exceptions() == 0) return;
  try {
    if (pending_->poll()) return;
  } catch (const std::exception&) {
    return;
  }
  static_cast<void>(pending_.release());
}

void StepHeader::start(std::int64_t samples, bool automatic) {
  if (pending_) pending_->wait();  // of a step that was given up on all ranks
  pending_.reset();
  started_ = true;
  const int size = communicator_.size();
  values_ = at::zeros({size + 1}, at::kLong);
  auto* values = values_.mutable_data_ptr<std::int64_t>();
  values[communicator_.rank()] = samples;
  values[size] = automatic ? 1 : 0;
  pending_ = communicator_.start_all_reduce(values_);
}

const StepShares& StepHeader::wait() {
  if (!pending_) return shares_;
  pending_->wait();
  pending_.reset();
  shares_ = {};
  const int size = communicator_.size();
  const auto* values = values_.const_data_ptr<std::int64_t>();
  shares_.automatic = static_cast<int>(values[size]);
  shares_.first_active = size;
  for (int rank = size; rank-- > 0;) {
    if (values[rank] == kJoined) {
      ++shares_.joined;
    } else {
      shares_.total += values[rank];
      shares_.first_active = rank;
    }
  }
  return shares_;
}

}  // namespace thaw
