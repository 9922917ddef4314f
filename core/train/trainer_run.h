#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/base/progress/step_spans.h"
#include "core/base/stopwatch.h"
#include "core/models/layers/batch_norm.h"
#include "core/parallel/step_monitor.h"
#include "core/record/observer.h"
#include "core/schedule/schedule_run.h"
#include "core/step/freezer.h"
#include "core/step/optimizer.h"
#include "core/step/parameter_table.h"
#include "core/step/sharing/frozen_weights.h"
#include "core/step/step_agreement.h"
#include "core/step/timing/device_spans.h"
#include "core/train/best/best_weights.h"
#include "core/train/best/stage_best.h"
#include "core/train/boundary_measurements.h"
#include "core/train/frozen/frozen_state.h"
#include "core/train/guarded_step.h"
#include "core/train/prefix/prefix_use.h"
#include "core/train/trainer.h"
#include "core/train/training_state.h"

namespace thaw {

class Communicator;
class StageRun;
class StepMeter;
class TrainingLoader;

/// What a Trainer is inside: a run from its start, or from a checkpoint, to its end. Belongs to the
/// training thread.
class Trainer::Run {
 public:
  explicit Run(TrainerParts parts);
  ~Run();
  Run(const Run&) = delete;
  Run& operator=(const Run&) = delete;

  /// See Trainer::run.
  RunSummary to_end();
  /// See Trainer::measure_cached_training.
  std::optional<Measurement> measure_cached_training();
  /// An error has ended the run: tells of the last step what has arrived of it, and leaves frozen
  /// weights where they are.
  void tell_what_is_there() noexcept;

 private:
  bool run_stage();
  /// A collective: the transition into the schedule's stage.
  StageRun enter_stage();
  /// What is due between two steps.
  bool after_step(StageRun& run);
  RunSummary summary() const;
  void train_step(StageRun& stage, StepMeter& meter, TrainingLoader& loader);
  /// What a step leaves behind for its report.
  struct StepFigures {
    std::int64_t samples;
    std::int64_t counted_tokens;  ///< -1: the loss is a mean over samples
    std::vector<double> rates;    ///< of the stage's groups
    double gradient_norm;
    double seconds;
    SpanSeconds spans;
  };
  // In trainer_reports.cpp.
  StepReport step_report(StageRun& stage, const StepFigures& figures) const;
  /// Finds out what steps of the stages take beside each other, once it can be known.
  void learn_efforts(const StageRun& stage);
  bool take_device_times(StepReport& report);
  /// Tells of the step in `untold_`, whose numbers are there now. `stage`: of it; null: it is over.
  void report_step(const GuardedStep::Settled& step, StageRun* stage);
  void report_skipped(const StageRun& stage, const GuardedStep::Outcome& outcome);
  /// Whether something is due between two steps for which the weights are a result.
  bool weights_are_wanted() const;
  /// Whether something is due between two steps that wants the last one to be told of before.
  bool something_is_due() const;
  /// Waits for the numbers of the last step, where they are late, and tells of it. Throws where the
  /// weights are wanted and have stood still since a step that was not finite.
  void settle(StageRun& run);
  /// A new stage has been entered.
  void report_transition(const StageRun& run);
  /// A collective: whether one does when it is told of a step. Observers are rank 0's, and all
  /// ranks must do the same between two steps.
  bool ask_observers() const;
  bool audit_due() const;
  bool evaluation_due() const;
  /// Whether one may be due after the step to come, of so many samples.
  bool evaluation_may_follow(std::int64_t samples) const;
  /// Evaluates where there is a validation split, and tells the schedule.
  void evaluate_now(const StageRun& run);
  double epoch() const;
  /// Of the stage until now, with evaluations and saving.
  double stage_seconds() const { return stage_seconds_before_ + stage_watch_.seconds(); }
  ReportPlace place(const std::string& stage) const { return {state_.step, epoch(), stage}; }
  /// Between two stages: the one that ended.
  ReportPlace boundary() const { return place(last_stage()); }
  /// That ended; "" before the first has.
  std::string last_stage() const { return state_.stages.empty() ? "" : state_.stages.back().name; }

  // In trainer_checkpoint.cpp.
  bool buffers_are_replicas() const;
  void restore();
  /// What stands in a checkpoint made now. `run`: null between two stages.
  TrainingState state(const StageRun* run) const;
  bool checkpoint_due(bool transition) const;
  void save_checkpoint(const StageRun* run, bool transition);
  void finish_checkpoint();
  void report_checkpoints();
  void save_last_weights();
  StepVerdict agree(const GuardedStep::Asked& asked);
  void stop_here(const StageRun& run);

  template <typename Report>
  void tell(void (TrainingObserver::*event)(const Report&), const Report& report) {
    thaw::tell(parts_.observers, event, report);
  }

  TrainerParts parts_;
  StepMonitor unread_;  ///< where nobody gave one
  StepMonitor& monitor_;
  ParameterTable parameters_;
  Freezer freezer_;
  BatchNorms batch_norms_;
  std::unique_ptr<Communicator> batch_norm_communicator_;  ///< null where BatchNorm is local
  FrozenWeights frozen_weights_;  ///< outlives the optimizer's state: it may need its room
  std::unique_ptr<Optimizer> optimizer_;
  FrozenState frozen_state_;
  BestWeights best_weights_;
  BoundaryMeasurements measurements_;
  GuardedStep guarded_step_;
  std::int64_t train_samples_;
  StageBest stage_best_;
  PrefixUse prefix_use_;
  ScheduleRun schedule_;
  /// Of what a part of the trainer holds while it runs (the schedule, the stage that is under way,
  /// evaluations, times) this has what they began with: see `state`.
  TrainingState state_;
  Stopwatch watch_, stage_watch_;
  double stage_seconds_before_ = 0;  ///< of the stage, before the run was resumed
  StopReason stop_ = StopReason::kNone;
  std::vector<double> forward_seconds_;  ///< of the model's own groups; empty: not known
  std::vector<double> efforts_;       ///< of a step of each stage (step_effort), by these; or empty
  std::optional<StepReport> untold_;  ///< of a step whose numbers are late; its loss is missing
  std::string last_save_problem_;
  std::int64_t saved_step_ = -1;         ///< of the newest complete checkpoint of this process
  bool observers_read_weights_ = false;  ///< on all ranks alike, within `to_end`
  bool go_back_ = false;
  double gradient_norm_ = 0;  ///< of the last step of this process; 0: not read
  std::vector<std::optional<double>> group_gradient_norms_;  ///< of it; empty: not measured
  std::optional<DeviceSpans> device_spans_;  ///< within `to_end`; nothing: the host computes
};

}  // namespace thaw
