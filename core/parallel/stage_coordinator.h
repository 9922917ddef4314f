#pragma once

#include <ATen/core/Tensor.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "core/parallel/gradient_reducer.h"

namespace thaw {

class StagePlan;

/// A parameter of the model under its name.
struct NamedParameter {
  std::string name;
  at::Tensor tensor;
};

/// What the last transition cost on this rank, for the metrics.
struct TransitionCosts {
  double agreement_seconds = 0;  ///< comparing plans over the ranks, waiting for them included
  double build_seconds = 0;      ///< hooks, buckets and their memory
  std::size_t buckets = 0;
  std::int64_t gradient_bytes = 0;  ///< of the new buckets, padding included
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
                                                 std::span<const NamedParameter> parameters) = 0;

  /// Of the last `enter`.
  virtual TransitionCosts costs() const = 0;
};

/// The coordinator of a job of one rank: nothing to agree on, gradients stay where autograd put
/// them (see LocalReducer).
std::unique_ptr<StageCoordinator> make_local_coordinator();

}  // namespace thaw
