#include "dist/reduction/sending/step_senders.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <utility>

#include "core/base/stopwatch.h"

namespace thaw {

// Note [Sums within backward on a GPU]
// On a GPU a sum is a kernel that holds its place until it has met those of all other ranks, and
// what is queued behind it waits. So all ranks must queue their sums in one order, over all
// communicators (Note [Several communicators on one GPU]). Buckets are in order among themselves,
// and so are the sums of synchronised batch normalisations. But backward of one rank may reach a
// parameter that another's does not (a branch, an expert): the one sends its bucket within
// backward, before the sum of a normalisation further down, the other in `finish`, behind it; and
// each waits for what the other has not queued yet, for ever. Nobody can tell beforehand: a
// parameter that a rank leaves out by mistake must be named, not waited for. So where ranks wait
// for each other within backward, and the model does not promise that every backward reaches
// everything (Model::reaches_every_parameter), buckets leave behind backward. So they do where
// steps are CUDA graphs, in which two sums that do not wait for each other have no order. That
// costs a GPU the overlap; on the host a thread waits beside backward, and no order of calls can
// hold it up.

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
