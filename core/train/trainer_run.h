#pragma once

#include <cstdint>
#include <memory>
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
#include "core/step/step_agreement.h"
#include "core/train/boundary_measurements.h"
#include "core/train/guarded_step.h"
#include "core/train/prefix/prefix_use.h"
#include "core/train/stage_best.h"
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

 private:
  bool run_stage();
  /// A collective: the transition into the schedule's stage.
  StageRun enter_stage();
  /// What is due between two steps.
  bool after_step(const StageRun& run);
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
  void report_step(StageRun& stage, const StepFigures& figures);
  void report_skipped(const StageRun& stage, const GuardedStep::Outcome& outcome);
  /// A new stage has been entered.
  void report_transition(const StageRun& run);
  bool evaluation_due() const;
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
  StepVerdict agree(const at::Tensor* loss_sum, const at::Tensor* gradient_norm);
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
  std::unique_ptr<Optimizer> optimizer_;
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
  std::string last_save_problem_;
  std::int64_t saved_step_ = -1;  ///< of the newest complete checkpoint of this process
  bool go_back_ = false;
  double gradient_norm_ = 0;  ///< of the last step of this process; 0: not read
};

}  // namespace thaw
