#pragma once

#include <ATen/core/Tensor.h>

#include <memory>
#include <span>
#include <string>

#include "core/parallel/gradient_reducer.h"

namespace thaw {

class StagePlan;

/// A parameter or buffer under its module's name for it. Shares the module's storage.
struct NamedTensor {
  std::string name;
  at::Tensor tensor;
};

/// Takes all ranks from one stage to the next at the same step.
///
/// Not thread-safe: it belongs to the thread that trains.
class StageCoordinator {
 public:
  virtual ~StageCoordinator() = default;

  /// A collective: enters the stage of `plan`, and returns the reducer that serves it.
  ///
  /// The caller destroys the reducer of the stage before first, and has set `requires_grad` of
  /// exactly the active parameters. `parameters` are all of the model's, in the order of
  /// declaration on every rank; a frozen one that later gets a gradient is a ReductionMismatch.
  /// `.grad` of all of them is undefined afterwards.
  /// Throws DisagreementError on all ranks, saying what differs and on which ranks, where the
  /// plans are not equal.
  virtual std::unique_ptr<GradientReducer> enter(const StagePlan& plan,
                                                 std::span<const NamedTensor> parameters) = 0;

  /// Says that the stage of `plan` comes next, so that its buckets and their memory are made ready
  /// on a thread beside training. Returns at once; no collective. The next `enter` takes what is
  /// ready if its plan is equal, else drops it. `parameters` as for `enter`.
  virtual void prepare(const StagePlan& plan, std::span<const NamedTensor> parameters) {
    static_cast<void>(plan);
    static_cast<void>(parameters);
  }
  /// Waits for what `prepare` began.
  virtual void wait_prepared() {}

  /// Of the last `enter`.
  virtual TransitionCosts costs() const = 0;
};

}  // namespace thaw
