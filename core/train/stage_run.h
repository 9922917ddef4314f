#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "core/config/configuration.h"
#include "core/measure/operations.h"
#include "core/parallel/gradient_reducer.h"
#include "core/record/observer.h"
#include "core/schedule/schedule_run.h"
#include "core/schedule/stage_plan.h"
#include "core/step/freezer.h"
#include "core/step/gradient_pass.h"
#include "core/train/training_state.h"

namespace thaw {

class BatchNorms;
class Model;
class Optimizer;
class ParameterTable;
class StageCoordinator;

/// One stage while it lasts: its plan, its reducer, how far it has come and what it has cost.
/// Building one is the transition into the stage, destroying it the first half of the next.
class StageRun {
 public:
  struct Context {
    Model& model;
    const BatchNorms& batch_norms;
    const ParameterTable& parameters;
    Freezer& freezer;
    Optimizer& optimizer;
    StageCoordinator& coordinator;
    const TrainOptions& train;
    GradientPass::Settings pass;
    const ScheduleRun& schedule;  ///< in the stage
  };

  /// A collective: freezes and thaws, agrees with the other ranks on the plan, rebuilds the
  /// reduction, and gives the optimizer what is active.
  explicit StageRun(const Context& context);

  const Stage& stage() const { return stage_; }
  const StagePlan& plan() const { return plan_; }
  GradientReducer& reducer() { return *reducer_; }
  /// Since the stage, or the segment of a policy's, began.
  const StageProgress& progress() const { return schedule_.progress(); }
  /// 0 where nobody knows yet.
  std::int64_t steps() const { return schedule_.stage_steps(); }
  double transition_seconds() const { return transition_seconds_; }
  double clip_norm() const { return train_.clip_norm; }

  /// In the step to come, of each class of the plan.
  std::vector<double> class_rates() const;
  const FrozenLayers& frozen_layers() const { return frozen_layers_; }

  /// Forward and backward of this rank's share, between the reducer's `begin` and `finish`; see
  /// GradientPass::run. Counts the operations of some steps.
  at::Tensor compute(const Batch& batch, SampleShare share, double weight);
  const std::vector<at::Tensor>& active_tensors() const { return active_tensors_; }

  /// Goes on with a stage that had come to `state`, its gradients travelling by `reduction`. A
  /// collective.
  void restore(const StageState& state, const ReductionOrder& reduction);
  /// With times up to now.
  StageState state() const;
  ReductionOrder order() const { return reducer_->order(); }

  /// A step was committed, which took so long.
  void commit(double seconds);

  TransitionReport transition_report() const;
  /// With times up to now.
  StageSummary summary() const;

 private:
  std::vector<double> rates_by_group() const;
  void enter_optimizer(const Context& context);
  void carry_optimizer_state(Optimizer& optimizer) const;

  const ScheduleRun& schedule_;
  const Stage& stage_;
  const TrainOptions train_;  ///< as it holds in the stage
  const ParameterTable& parameters_;
  StagePlan plan_;
  GradientPass pass_;
  std::unique_ptr<GradientReducer> reducer_;
  std::vector<at::Tensor> active_tensors_;
  std::vector<std::size_t> class_groups_;  ///< place in the stage of each class's first group
  FrozenLayers frozen_layers_;
  double transition_seconds_ = 0;
  double training_seconds_ = 0;  ///< the transition and all steps
  double optimizer_seconds_ = 0;
  TransitionCosts costs_;
  std::vector<double> step_seconds_;
  StageFlops flops_;
  ReductionCounters last_counters_;
};

/// Makes memory for `stage`, which comes next, ready on threads beside training. Returns at once.
/// `train`: as the run has it.
void prepare_stage(const Stage& stage, const TrainOptions& train, const ParameterTable& parameters,
                   Optimizer& optimizer, StageCoordinator& coordinator);

}  // namespace thaw
