#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>

#include <memory>

namespace thaw {

class Communicator;

/// Numbers of a step on their way from a GPU. Belongs to the training thread.
class ArrivingNumbers {
 public:
  struct Values {
    double loss_sum = 0;       ///< over the global batch
    double gradient_norm = 0;  ///< 0 where nobody asked
    bool finite = true;        ///< with those of all steps that were judged before
  };

  explicit ArrivingNumbers(const at::Tensor& numbers);
  ~ArrivingNumbers();
  ArrivingNumbers(const ArrivingNumbers&) = delete;
  ArrivingNumbers& operator=(const ArrivingNumbers&) = delete;

  /// Whether `wait` would not block.
  bool are_there() const;
  Values wait() const;

 private:
  struct Event;
  at::Tensor host_;
  std::unique_ptr<Event> sent_;  ///< null: they were on the host
};

/// Judges steps where their numbers are, on a GPU, so that no update waits for the host: what loss
/// and norm of a step say, all ranks' optimizers hear there, and the host later.
///
/// From the first step on that was not finite, none counts: the weights stay as they were before
/// it, for whoever goes on from them, however many steps were queued until the host heard of it.
/// One a run and rank; belongs to the training thread. All is queued on its current stream, and
/// lies in the same places of memory from step to step.
class DeviceVerdict {
 public:
  explicit DeviceVerdict(at::Device device);

  /// A collective. `loss_sum`: this rank's, undefined where it ran nothing. `norm`: of the
  /// gradients, equal on all ranks; undefined: nobody asks.
  void judge(const at::Tensor& loss_sum, const at::Tensor& norm, Communicator& communicator);

  /// float32 scalar: 0 while all steps were finite, then 1.
  const at::Tensor& not_finite() const { return not_finite_; }

  /// Sends the host what the last `judge` was about.
  std::unique_ptr<ArrivingNumbers> send() const;

 private:
  at::Tensor numbers_;                   ///< float32 [3]: loss, norm, whether not finite
  at::Tensor loss_, norm_, not_finite_;  ///< its elements
  at::Tensor one_;
};

}  // namespace thaw
