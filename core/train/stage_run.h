#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "core/config/configuration.h"
#include "core/measure/operations.h"
#include "core/parallel/gradient_reducer.h"
#include "core/record/observer.h"
#include "core/schedule/schedule_run.h"
#include "core/schedule/stage_plan.h"
#include "core/step/freezer.h"
#include "core/step/gradient_pass.h"
#include "core/step/group_clock.h"
#include "core/step/state_moves.h"
#include "core/train/frozen/frozen_state.h"
#include "core/train/step_graphs.h"
#include "core/train/training_state.h"

namespace thaw {

class BatchNorms;
class Communicator;
class FrozenWeights;
class Model;
class Optimizer;
class ParameterTable;
class PrefixSource;
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
    Communicator& communicator;   ///< that state moves over where it is sharded
    FrozenState& frozen_state;
    FrozenWeights& frozen_weights;
  };

  /// A collective: freezes and thaws, agrees with the other ranks on the plan, rebuilds the
  /// reduction, and gives the optimizer what is active.
  explicit StageRun(const Context& context);

  const Stage& stage() const { return stage_; }
  const StagePlan& plan() const { return plan_; }
  GradientReducer& reducer() { return *reducer_; }
  /// Shares of forward and backward, of the model's own groups; empty where that is not known.
  std::vector<double> group_time_shares() const;
  /// Seconds of forward in the newest step that was looked at, of each of them; empty: not known.
  const std::vector<double>& forward_seconds() const { return forward_seconds_; }
  /// Since the stage, or the segment of a policy's, began.
  const StageProgress& progress() const { return schedule_.progress(); }
  /// 0 where nobody knows yet.
  std::int64_t steps() const { return schedule_.stage_steps(); }
  double transition_seconds() const { return transition_seconds_; }
  double clip_norm() const { return train_.clip_norm; }

  /// In the step to come, of each class of the plan.
  std::vector<double> class_rates() const;
  const FrozenLayers& frozen_layers() const { return frozen_layers_; }

  /// Where steps find what frozen groups return; null: they run them.
  void read_prefix(const PrefixSource* source) { pass_.read_prefix(source); }

  /// Its steps may be graphs from now on.
  void capture_steps(c10::Device gpu);
  StepGraphs* graphs() { return graphs_.get(); }  ///< null: they may not be
  /// Whether `compute` counts operations in the step to come.
  bool counts_operations() const { return StageFlops::due(progress().steps); }
  bool draws_fast() const { return train_.attention_dropout_draws == AttentionDraws::kFast; }

  /// Forward and backward of this rank's share, between the reducer's `begin` and `finish`; see
  /// GradientPass::run. Counts the operations of some steps.
  at::Tensor compute(const Batch& batch, SampleShare share, double weight);
  /// A collective, after `compute` and the reducer's `finish`: the 2-norm over all gradients; see
  /// shared_gradient_norm for who has it.
  at::Tensor gradient_norm(Communicator& communicator);
  /// A collective, likewise: of each of the groups that freeze and thaw (ParameterTable::groups),
  /// where the ranks share gradients out; nothing for one without gradients. Rank 0's count. Else
  /// empty: `.grad` has them.
  std::vector<std::optional<double>> group_gradient_norms();
  /// Null where every rank updates all of the parameters.
  ShardedState* sharded() { return reducer_->sharded(); }
  /// A collective, after the optimizer's step: every rank gets what the others have updated, where
  /// they share that out. It may be under way until `wait_for_updates`, or the next step's
  /// `compute`, which waits as it goes.
  void share_updates();
  /// Returns when all weights are there: before anybody reads them but `compute`.
  void wait_for_updates();

  /// Goes on with a stage that had come to `state`, its gradients travelling by `reduction`. A
  /// collective.
  void restore(const StageState& state, const ReductionOrder& reduction);
  /// With times up to now.
  StageState state() const;
  ReductionOrder order() const { return reducer_->order(); }

  /// A step was committed, which took the host so long.
  void commit(double seconds);
  /// A GPU took so long for one. From the first of these on they are what step times are made of:
  /// the host's are of queueing.
  void took_on_device(double seconds);

  TransitionReport transition_report() const;
  /// With times up to now.
  StageSummary summary() const;

 private:
  std::vector<double> rates_by_group() const;
  void read_group_clock() const;
  void enter_optimizer(const Context& context);
  void carry_optimizer_state(Optimizer& optimizer) const;
  /// A collective: what ranks share out goes to its owners.
  void move_optimizer_state(const Context& context);
  /// What reads updated parameters comes: waits for them, or sees to it that it waits.
  void expect_forward();

  const Model& model_;
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
  StateMoves moved_;
  std::int64_t shared_bytes_ = 0;  ///< of frozen weights
  std::int64_t state_bytes_ = 0;   ///< of active parameters' state, on this rank
  AsideMoves aside_;
  std::vector<std::vector<std::size_t>> slices_by_place_;  ///< of each of the model's own groups
  bool updates_under_way_ = false;
  std::vector<double> step_seconds_;
  std::size_t restored_steps_ = 0;  ///< of these, before the run was resumed
  bool device_tells_ = false;
  bool sums_within_backward_ = false;  ///< a normalisation is synchronised
  StageFlops flops_;
  mutable std::unique_ptr<GroupClock> clock_;    ///< of the last counted step; null once it is read
  std::int64_t clocked_step_ = 0;                ///< of the stage, from 0
  mutable std::vector<double> group_seconds_;    ///< of steps that were counted, but for the first
  mutable std::vector<double> forward_seconds_;  ///< of the last of these
  ReductionCounters last_counters_;
  std::unique_ptr<StepGraphs> graphs_;  ///< last: gone before what they read
};

/// Makes memory for `stage`, which comes next, ready on threads beside training. Returns at once.
/// `train`: as the run has it. `sharded`: the optimizer's state is, so that whose memory it takes
/// is known at the transition alone.
void prepare_stage(const Stage& stage, const TrainOptions& train, const ParameterTable& parameters,
                   Optimizer& optimizer, StageCoordinator& coordinator, bool sharded,
                   FrozenWeights& frozen);
/// Waits for it, which the transition would do as well: so what a stage is said to take does not
/// hang on how far it came.
void wait_prepared(const Optimizer& optimizer, StageCoordinator& coordinator,
                   const FrozenWeights& frozen);

}  // namespace thaw
