#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "core/config/configuration.h"
#include "core/schedule/schedule.h"
#include "core/tasks/own_loss.h"
#include "core/train/checkpoint_parts.h"

namespace thaw {

class Communicator;
class Dataset;
class Model;
class Optimizer;
class Retention;
class StageCoordinator;
class StepMonitor;
class Task;
class TrainingObserver;

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
  /// Called on rank 0 when all stages are done, and checkpoints complete. May be empty. What it
  /// throws, all ranks throw.
  std::function<void()> save_last = {};
  std::int64_t log_every = 1;        ///< steps between two `step` reports
  StepMonitor* monitor = nullptr;    ///< is told where this rank is; null: nobody asks
  std::int64_t audit_every = 0;      ///< steps; 0: ranks compare weights at transitions only
  Retention* retention = nullptr;    ///< measured at transitions and at the end; null: not
  CheckpointParts checkpoints = {};  ///< how the run is saved, stopped and gone on with
};

}  // namespace thaw
