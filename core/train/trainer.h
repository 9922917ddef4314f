#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/config/choices.h"
#include "core/record/observer.h"
#include "core/tasks/task.h"

namespace thaw {

class CheckpointReader;
class CheckpointSaver;
class Communicator;
class Dataset;
class Model;
class Optimizer;
class Forgetting;
class StageCoordinator;
class StartWeights;
class StepMonitor;
class StopRequest;
struct DataOptions;
struct ModelDescription;
struct Schedule;
struct TrainingState;
struct TrainOptions;

/// What a trainer saves with, stops for, and goes on from. Pointers are borrowed.
struct CheckpointParts {
  CheckpointSaver* saver = nullptr;  ///< null: nothing is saved
  std::int64_t every_steps = 0;      ///< 0: at transitions and at the end only; -1: nor there
  std::string configuration = {};    ///< of the run, as TOML
  RunFacts facts = {};
  std::vector<std::string> classes = {};                 ///< for who exports from a checkpoint
  const ModelDescription* model = nullptr;               ///< likewise; null: nobody says
  std::map<std::string, std::string> weight_names = {};  ///< likewise
  StopRequest* stop = nullptr;                           ///< null: nothing stops it

  const CheckpointReader* resume = nullptr;   ///< to go on from; null: from the start
  const TrainingState* state = nullptr;       ///< its state
  std::vector<std::string> passed_over = {};  ///< newer checkpoints, and why; for the report
};

/// What a run consists of. Everything is borrowed and must outlive the trainer.
struct TrainerParts {
  Model& model;              ///< weights loaded and equal on all ranks, on its device
  const Dataset& dataset;    ///< splits prepared
  const Schedule& schedule;  ///< resolved against the model
  const DataOptions& data;
  const TrainOptions& train;
  Communicator& communicator;
  StageCoordinator& coordinator;
  std::vector<TrainingObserver*> observers = {};  ///< called on rank 0 alone
  std::shared_ptr<const Task> task = {};          ///< null: the one that the dataset says
  LossFunction loss = {};                         ///< in place of the task's; empty: that
  /// Makes an optimizer of one's own: Note [Own optimizers]. Empty: the one that `train` names.
  std::function<std::unique_ptr<Optimizer>(const TrainOptions&)> optimizer = {};
  /// Called on rank 0 whenever the evaluation just made is the best so far. May be empty.
  std::function<void()> save_best = {};
  /// `save_best` may be called later, with the model as it was then: Note [The best weights wait].
  bool best_may_wait = false;
  /// Called on rank 0 when all stages are done, and checkpoints complete. May be empty. What it
  /// throws, all ranks throw.
  std::function<void()> save_last = {};
  /// Called on every rank after each committed step, with its number. May be empty.
  std::function<void(std::int64_t)> after_step = {};
  /// What the coordinator's reducers give each rank a slice of; the same as in their options.
  Sharding sharding = Sharding::kNone;
  /// Frozen weights once a host; off: each rank has its own. All of the model's memory is Thaw's to
  /// replace then: no pointers into parameters, but tensors and views of any kind. (In bfloat16 on
  /// a GPU, frozen Model::product_weights lie in host memory in any case, and views stay behind.)
  ShareFrozen share_frozen = ShareFrozen::kOff;
  /// Where the optimizer's state of frozen parameters waits; for kDisk in files in this folder.
  FrozenStatePlace frozen_state = FrozenStatePlace::kDevice;
  std::string frozen_state_folder = {};
  std::int64_t log_every = 1;             ///< steps between two `step` reports
  StepMonitor* monitor = nullptr;         ///< is told where this rank is; null: nobody asks
  std::int64_t audit_every = 0;           ///< steps; 0: ranks compare weights at transitions only
  Forgetting* forgetting = nullptr;       ///< measured at transitions and at the end; null: not
  StartWeights* start_weights = nullptr;  ///< of a run that has several trainers; null: own
  CheckpointParts checkpoints = {};       ///< how the run is saved, stopped and gone on with
};

/// Trains a model stage by stage, together with the trainers of the other ranks.
///
/// The ranks make the same decisions at the same steps because every decision is a pure function
/// of the schedule, the cursor and values that were agreed on. One instance, one run, one thread.
class Trainer {
 public:
  explicit Trainer(TrainerParts parts);
  ~Trainer();
  Trainer(const Trainer&) = delete;
  Trainer& operator=(const Trainer&) = delete;

  /// Runs all stages, or what is left of them where the run goes on from a checkpoint; or stops
  /// early, on request. A collective. Throws `RunError` where training cannot go on.
  RunSummary run();

  /// After `run` has come to its end: what the weights of then do on the training split, in
  /// evaluation mode, where the last stage has read what frozen groups return for it, so that it
  /// takes next to no time; else nothing. A collective.
  std::optional<Measurement> measure_cached_training();

 private:
  class Run;  // core/train/trainer_run.h
  std::unique_ptr<Run> run_;
};

}  // namespace thaw
