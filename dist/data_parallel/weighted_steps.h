#pragma once

#include <ATen/core/Tensor.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "core/parallel/communicator.h"
#include "core/parallel/gradient_reducer.h"
#include "core/parallel/stage_coordinator.h"
#include "dist/data_parallel/step_hooks.h"
#include "dist/data_parallel/step_places.h"

namespace thaw {

/// The steps of one active set in somebody's own loop: a GradientReducer for losses that are means
/// over each rank's own samples, and for steps that begin by themselves.
///
/// See Note [Weights after the fact] in weighted_steps.cpp. Not thread-safe, but for the hooks.
class WeightedSteps {
 public:
  /// `active`: each tensor once. Hooks them, so that what is hooked later sees weighted gradients.
  /// `communicator` is its own (from `split`); it and `places` outlive it.
  WeightedSteps(Communicator& communicator, std::vector<NamedParameter> active, StepPlaces& places);

  /// Takes the reducer of the active set, before anything else but construction.
  void attach(std::unique_ptr<GradientReducer> reducer) { reducer_ = std::move(reducer); }

  /// See DataParallel.
  void begin(std::int64_t samples);
  std::int64_t finish(std::optional<std::int64_t> samples);
  void begin_accumulation();
  void end_accumulation() { --accumulations_; }

  bool accumulating() const { return accumulations_ > 0; }
  /// Between `begin` and `finish`.
  bool announced() const { return samples_.has_value(); }
  ReductionCounters counters() const { return reducer_->counters(); }

 private:
  void before_gradient();
  void after_gradient(std::size_t parameter);
  void start(std::int64_t samples);
  void begin_if_not_begun(bool has_samples);
  /// This rank's samples over those of all ranks; waits for the others to have told theirs.
  double weight();
  void apply_weight(const std::vector<at::Tensor>& gradients);
  /// Of all ranks; a step is over whatever happens then.
  std::int64_t take_total();

  Communicator& communicator_;
  StepPlaces& places_;
  const std::vector<NamedParameter> active_;

  // Of the current step. Hooks of parameters on several devices run on several threads.
  std::mutex mutex_;
  int accumulations_ = 0;
  bool begun_ = false;                   ///< the reducer has begun
  bool sending_ = false;                 ///< the last backward has begun
  std::optional<std::int64_t> samples_;  ///< of this rank, once it has told the others
  at::Tensor total_;                     ///< becomes the sum over the ranks
  std::unique_ptr<Work> pending_;        ///< of `total_`
  std::vector<bool> weighted_;           ///< `.grad` is multiplied by `weight` already

  StepHooks hooks_;
  std::unique_ptr<GradientReducer> reducer_;
};

}  // namespace thaw
