#include "dist/reduction/sending/step_senders.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <utility>

#include "core/base/stopwatch.h"

namespace thaw {

StepSenders::StepSenders(Communicator& communicator, bool on_gpu, std::unique_ptr<BucketSender> own,
                         std::shared_ptr<GradientHook> hook)
    : communicator_(communicator), on_gpu_(on_gpu), hook_(std::move(hook)), own_(std::move(own)) {}

void StepSenders::plan(Overlap wanted, std::size_t buckets, bool always) {
  // The times that kAuto compares mean nothing on a GPU: Note [Nothing waits for a GPU].
  if (on_gpu_ && wanted == Overlap::kAuto) wanted = Overlap::kOn;
  choice_ = OverlapChoice(wanted, buckets);
  always_ = always && buckets > 1;
  if ((always_ || choice_.may_be_on()) && !on_gpu_ && !helper_) {
    helper_ = make_helper_sender(communicator_, hook_);
  }
}

BucketSender& StepSenders::of_bucket(bool is_last) {
  return helper_ && overlaps() && !is_last ? *helper_ : *own_;
}

std::int64_t StepSenders::call(std::function<void(Communicator&)> collective) {
  BucketSender& sender = helper_ && choice_.on() ? *helper_ : *own_;
  return sender.call(std::move(collective));
}

void StepSenders::ease() {
  if (!helper_) return;
  const Stopwatch watch;
  helper_->ease(/*most=*/1, std::chrono::milliseconds(20));
  waited_ += watch.seconds();
}

void StepSenders::wait_for(std::int64_t number) {
  if (number == 0) return;
  const Stopwatch watch;
  helper_->wait_for(number);
  waited_ += watch.seconds();
}

double StepSenders::drain_helper() {
  if (!helper_ || !overlaps()) return 0;
  const Stopwatch watch;
  helper_->drain();
  const double busy = helper_->busy_seconds();
  const double exposed = watch.seconds() + std::exchange(waited_, 0.0);
  return std::max(0.0, busy - std::exchange(helper_busy_, busy) - exposed);
}

std::int64_t StepSenders::take_row_bytes() {
  const std::int64_t bytes = own_->row_bytes() + (helper_ ? helper_->row_bytes() : 0);
  return bytes - std::exchange(row_bytes_, bytes);
}

void StepSenders::learn(double seconds) {
  choice_.record(seconds);
  if (choice_.wants_verdict()) {
    std::array<double, 2> trial = choice_.trial_seconds();
    communicator_.all_reduce(trial);
    choice_.decide(trial);
  }
  if (helper_ && !always_ && !choice_.may_be_on()) {
    row_bytes_ -= helper_->row_bytes();
    helper_.reset();
    helper_busy_ = 0;
  }
}

}  // namespace thaw
