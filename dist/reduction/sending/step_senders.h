#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>

#include "core/parallel/communicator.h"
#include "dist/reduction/overlap_choice.h"
#include "dist/reduction/sending/bucket_sender.h"
#include "dist/reduction/sending/gradient_hook.h"

namespace thaw {

/// What the buckets of a reducer leave by: one sender on the thread that runs backward (on a GPU
/// its stream), and a helper beside it where some step may overlap; and which of them a step takes.
///
/// Belongs to the thread that runs backward. All ranks make the same calls.
class StepSenders {
 public:
  /// `own` sends where the helper does not. The helper sums by `hook`, if there is one.
  StepSenders(Communicator& communicator, bool on_gpu, std::unique_ptr<BucketSender> own,
              std::shared_ptr<GradientHook> hook = nullptr);

  /// Begins anew with buckets of which there are so many. `always`: they leave while backward goes
  /// on, by the helper, whatever is `wanted`, which then decides of `call` alone.
  void plan(Overlap wanted, std::size_t buckets, bool always = false);

  /// From now on no bucket leaves a GPU before backward has ended, whatever `plan` is told. Outside
  /// of backward. See Note [Sums within backward on a GPU] in step_senders.cpp.
  void keep_behind_backward() { behind_backward_ = on_gpu_; }

  /// Whether buckets leave while backward goes on, in the step to come or under way.
  bool overlaps() const { return !behind_backward_ && (always_ || choice_.on()); }
  /// By what a bucket leaves now; the last of a step leaves when backward has ended.
  BucketSender& of_bucket(bool is_last);

  /// A collective beside what comes next where the step to come overlaps, else at once. Returns its
  /// number for `wait_for`; 0: it is done.
  std::int64_t call(std::function<void(Communicator&)> collective);
  void wait_for(std::int64_t number);

  /// Of buckets that have left, waits until one at most is under way, but not for long.
  void ease();
  /// Returns when all that left by the helper in this step has been done, and the seconds that it
  /// worked while others computed.
  double drain_helper();
  /// The same of this thread's sender.
  void drain() { own_->drain(); }
  /// Bytes of gradients that travelled by rows since the last call. Not while something is under
  /// way.
  std::int64_t take_row_bytes();

  /// A step has ended that took this rank so long. A collective at the steps at which it decides.
  void learn(double seconds);

  /// Lets go of the helper and of what it has not done: what that refers to may go then.
  void stop() { helper_.reset(); }

 private:
  Communicator& communicator_;
  const bool on_gpu_;
  const std::shared_ptr<GradientHook> hook_;
  const std::unique_ptr<BucketSender> own_;
  std::unique_ptr<BucketSender> helper_;  ///< null where that is never wanted
  OverlapChoice choice_{Overlap::kOff, 0};
  bool always_ = false;
  bool behind_backward_ = false;
  double helper_busy_ = 0;      ///< until the last `drain_helper`
  double waited_ = 0;           ///< for the helper, since then
  std::int64_t row_bytes_ = 0;  ///< of both, until the last `take_row_bytes`
};

}  // namespace thaw
