#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "core/base/stopwatch.h"
#include "core/config/configuration.h"
#include "core/models/batch_norm.h"
#include "core/parallel/step_monitor.h"
#include "core/schedule/schedule.h"
#include "core/schedule/schedule_run.h"
#include "core/train/checkpoint_parts.h"
#include "core/train/evaluator.h"
#include "core/train/finite_guard.h"
#include "core/train/freezer.h"
#include "core/train/loss.h"
#include "core/train/observer.h"
#include "core/train/optimizer.h"
#include "core/train/parameter_table.h"
#include "core/train/stage_best.h"
#include "core/train/stop_request.h"

namespace thaw {

class Audit;
class Communicator;
class Dataset;
class Model;
class Retention;
class StageCoordinator;
class StageRun;
class StepMeter;
class TrainingLoader;
struct StepVerdict;

/// What a run consists of. Everything is borrowed and must outlive the trainer.
struct TrainerParts {
  Model& model;              ///< weights loaded and equal on all ranks, on its device
  const Dataset& dataset;    ///< splits prepared
  const Schedule& schedule;  ///< resolved against the model
  const DataOptions& data;
  const TrainOptions& train;
  Communicator& communicator;
  StageCoordinator& coordinator;
  std::vector<TrainingObserver*> observers;  ///< called on rank 0 alone
  LossFunction loss = {};                    ///< empty: cross entropy
  /// Called on rank 0 whenever the evaluation just made is the best so far. May be empty.
  std::function<void()> save_best;
  /// Called on rank 0 when all stages are done, and checkpoints complete. May be empty. What it
  /// throws, all ranks throw.
  std::function<void()> save_last;
  std::int64_t log_every = 1;        ///< steps between two `step` reports
  StepMonitor* monitor = nullptr;    ///< is told where this rank is; null: nobody asks
  std::int64_t audit_every = 0;      ///< steps; 0: ranks compare weights at transitions only
  Retention* retention = nullptr;    ///< measured at transitions and at the end; null: not
  CheckpointParts checkpoints = {};  ///< how the run is saved, stopped and gone on with
};

/// Trains a model stage by stage, together with the trainers of the other ranks.
///
/// The ranks make the same decisions at the same steps because every decision is a pure function
/// of the schedule, the cursor and values that were agreed on. One instance, one run, one thread.
class Trainer {
 public:
  explicit Trainer(TrainerParts parts);
  ~Trainer();

  /// Runs all stages, or what is left of them where the run goes on from a checkpoint; or stops
  /// early, on request. A collective. Throws `RunError` where training cannot go on.
  RunSummary run();

 private:
  bool run_stage();
  RunSummary summary() const;
  void train_step(StageRun& stage, StepMeter& meter, TrainingLoader& loader);
  /// What a step leaves behind for its report.
  struct StepFigures {
    std::int64_t samples;
    std::vector<double> rates;  ///< of the stage's groups
    double gradient_norm;
    double data_seconds, seconds;
  };
  void report_step(StageRun& stage, const StepFigures& figures);
  void report_skipped(const StageRun& stage, double loss, double gradient_norm);
  bool evaluation_due() const;
  /// Evaluates where there is a validation split, and tells the schedule.
  void evaluate_now(const StageRun& stage);
  void settle_buffers();
  void audit_now(const std::string& stage);
  /// At a stage's boundary; `stage`: that ended.
  void measure_retention(const std::string& stage);
  double epoch() const;
  /// Of a global batch, each run alone; 0: a rank's share is cut as it likes.
  std::int64_t shards() const;

  // In trainer_checkpoint.cpp.
  bool buffers_are_replicas() const;
  void restore();
  /// `run`: null between two stages.
  TrainingState state(const StageRun* run, double stage_seconds) const;
  bool checkpoint_due(bool transition) const;
  void save_checkpoint(const StageRun* run, double stage_seconds, bool transition);
  void finish_checkpoint();
  void report_checkpoints();
  void save_last_weights();
  StepVerdict agree(const at::Tensor& loss_sum, bool wants_loss);
  void stop_here(const StageRun& run, double stage_seconds);

  template <typename Report>
  void tell(void (TrainingObserver::*event)(const Report&), const Report& report) {
    for (TrainingObserver* observer : parts_.observers) {
      (observer->*event)(report);
    }
  }

  TrainerParts parts_;
  StepMonitor unread_;  ///< where nobody gave one
  StepMonitor& monitor_;
  ParameterTable parameters_;
  Freezer freezer_;
  std::unique_ptr<Communicator> batch_norm_communicator_;  ///< null where BatchNorm is local
  BatchNorms batch_norms_;
  std::unique_ptr<Optimizer> optimizer_;
  std::unique_ptr<Audit> audit_;  ///< null at one rank
  std::int64_t audited_step_ = -1;
  std::int64_t train_samples_;
  StageBest stage_best_;
  ScheduleRun schedule_;     ///< its state is all that a checkpoint must hold of the schedule
  std::int64_t cursor_ = 0;  ///< global samples consumed by committed steps
  std::int64_t step_ = 0;    ///< committed steps
  std::optional<EvaluationReport> last_evaluation_, best_evaluation_;
  std::int64_t evaluated_step_ = -1;  ///< at which it was last time for an evaluation
  double last_loss_ = 0;
  std::vector<StageSummary> stages_;
  std::vector<RetentionReport> retention_;  ///< the first and the last
  Stopwatch watch_;
  double seconds_before_ = 0;               ///< of the run, before it was resumed
  const TrainingState* resumed_ = nullptr;  ///< a stage to go on with; null once that is done
  StopReason stop_ = StopReason::kNone;
  std::string last_save_problem_;
  std::int64_t saved_step_ = -1;  ///< of the newest complete checkpoint of this process
  FiniteGuard guard_;
  bool go_back_ = false;
};

}  // namespace thaw
