#include "dist/data_parallel/step_header.h"

#include <ATen/ops/zeros.h>
#include <fmt/format.h>

#include <chrono>
#include <exception>
#include <thread>

#include "core/base/error.h"

namespace thaw {

namespace {

constexpr std::chrono::seconds kMoment{1};

}  // namespace

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

void StepHeader::start(std::int64_t samples, StepMarks marks) {
  refuse_left();
  if (pending_) pending_->wait();  // of a step that was given up on all ranks
  pending_.reset();
  started_ = true;
  send(samples, marks);
}

void StepHeader::send(std::int64_t samples, StepMarks marks) {
  const int size = communicator_.size();
  values_ = at::zeros({size + 3}, at::kLong);
  auto* values = values_.mutable_data_ptr<std::int64_t>();
  values[communicator_.rank()] = samples;
  values[size] = marks.automatic ? 1 : 0;
  values[size + 1] = marks.holding ? 1 : 0;
  values[size + 2] = marks.following ? 1 : 0;
  pending_ = communicator_.start_all_reduce(values_);
}

const StepShares& StepHeader::wait() {
  refuse_left();
  if (!pending_) return shares_;
  pending_->wait();
  pending_.reset();
  shares_ = {};
  const int size = communicator_.size();
  const auto* values = values_.const_data_ptr<std::int64_t>();
  shares_.automatic = static_cast<int>(values[size]);
  shares_.holding = static_cast<int>(values[size + 1]);
  shares_.following = static_cast<int>(values[size + 2]);
  shares_.first_active = size;
  for (int rank = size; rank-- > 0;) {
    if (values[rank] == kLeft) {
      left_ = rank;
    } else if (values[rank] == kJoined) {
      ++shares_.joined;
    } else {
      shares_.total += values[rank];
      shares_.first_active = rank;
    }
  }
  refuse_left();
  return shares_;
}

void StepHeader::refuse_left() const {
  if (left_ < 0) return;
  throw RunError(
      fmt::format("rank {} makes no more steps: an exception took it out of its loop, so that its "
                  "DataParallel ended (its own message says why); end the loop here too",
                  left_));
}

// The others may be at something else, or about to end: so not for long, and then the destructor
// leaves it behind.
void StepHeader::leave() {
  if (left_ >= 0 || pending_ || communicator_.size() == 1) return;
  try {
    send(kLeft, {});
    const auto until = std::chrono::steady_clock::now() + kMoment;
    while (!pending_->poll() && std::chrono::steady_clock::now() < until) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  } catch (const std::exception&) {
    // The communicator is broken, which tells the others.
  }
}

}  // namespace thaw
