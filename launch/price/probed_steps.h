#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "core/models/layers/batch_norm.h"
#include "core/parallel/gradient_reducer.h"
#include "core/schedule/stage_plan.h"
#include "core/step/freezer.h"
#include "core/step/optimizer.h"
#include "core/step/parameter_table.h"

namespace thaw {

class GradientPass;
class Model;
class Split;
class TrainingLoader;
struct RunSetup;
struct Stage;

/// What steps of one size of share cost: medians, of batches of the split's mean length.
struct SizedCosts {
  std::int64_t samples = 0;
  std::vector<double> forward, backward;  ///< of each of the model's groups
  double loss = 0;                        ///< and what else the groups do not have
  double optimizer = 0, data = 0;
  double flops = 0;             ///< of forward and backward
  std::int64_t peak_bytes = 0;  ///< of the process, all else that it holds included
  std::int64_t held_bytes = 0;  ///< of these: gradients and the optimizer's state

  /// Of forward and backward, all groups.
  double compute_seconds() const;
};

/// Runs steps of a stage on this rank alone, and times them group by group. Weights stay as they
/// are.
class ProbedSteps {
 public:
  /// `setup` is borrowed.
  explicit ProbedSteps(const RunSetup& setup);
  ~ProbedSteps();

  /// Freezes and thaws, and gives the optimizer what is active.
  void enter(const Stage& stage);
  /// A step of `samples` to warm up, and then as many as there is time for, one at least. Gradients
  /// of the last one are there afterwards.
  SizedCosts measure(std::int64_t samples, double seconds);
  /// Of what is active: the optimizer's, as far as it was made.
  std::int64_t state_bytes() const;

  const ParameterTable& parameters() const { return parameters_; }
  const BatchNorms& batch_norms() const { return batch_norms_; }
  const StagePlan& plan() const { return *plan_; }

 private:
  struct StepTimes;
  StepTimes step(GradientPass& pass, TrainingLoader& loader, double mean_load);
  void add_to_gradients(GradientPass& pass, TrainingLoader& loader);
  std::int64_t held_on_host() const;

  const RunSetup& setup_;
  Model& model_;
  const ParameterTable parameters_;
  Freezer freezer_;
  BatchNorms batch_norms_;
  const Split& split_;

  // Of the stage that was entered.
  std::optional<StagePlan> plan_;
  std::unique_ptr<GradientReducer> reducer_;
  std::unique_ptr<Optimizer> optimizer_;
};

}  // namespace thaw
