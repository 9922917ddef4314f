#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/config/configuration.h"
#include "core/data/dataset.h"
#include "core/parallel/communicator.h"
#include "core/parallel/one_rank.h"
#include "core/parallel/stage_coordinator.h"
#include "core/schedule/schedule.h"
#include "core/train/trainer.h"
#include "tests/support/recorder.h"

namespace thaw {

/// A stage of `groups`, all at one rate.
inline Stage make_stage(std::string name, std::vector<std::string> groups, EndCondition until,
                        double rate = 0.05) {
  Stage stage;
  stage.name = std::move(name);
  stage.learning_rates.assign(groups.size(), rate);
  stage.groups = std::move(groups);
  stage.until = std::move(until);
  return stage;
}

/// The dataset of a file, all of it prepared.
inline Dataset prepared_dataset(const std::string& file) {
  Dataset dataset({file});
  for (const std::string& name : dataset.split_names()) dataset.split(name).prepare({});
  return dataset;
}

/// What a test's trainer is made of beside a model, data and ranks. `run` is the one place of the
/// tests that knows how a trainer is built.
struct Training {
  Schedule schedule = {};
  DataOptions data = {};
  TrainOptions train = {};
  std::shared_ptr<const Task> task = {};  ///< null: the one that the dataset says
  LossFunction loss = {};
  decltype(TrainerParts::optimizer) optimizer = {};
  std::function<void()> save_best = {}, save_last = {};
  bool best_may_wait = false;
  std::int64_t log_every = 1;
  Sharding sharding = Sharding::kNone;  ///< the coordinator's
  ShareFrozen share_frozen = ShareFrozen::kOff;
  FrozenStatePlace frozen_state = FrozenStatePlace::kDevice;
  std::string frozen_state_folder = {};
  std::int64_t audit_every = 0;
  Forgetting* forgetting = nullptr;
  CheckpointParts checkpoints = {};

  /// One of the ranks of `communicator`; `observer` hears of it on rank 0.
  RunSummary run(Model& model, const Dataset& dataset, TrainingObserver& observer,
                 Communicator& communicator, StageCoordinator& coordinator) const {
    Trainer trainer({.model = model,
                     .dataset = dataset,
                     .schedule = schedule,
                     .data = data,
                     .train = train,
                     .communicator = communicator,
                     .coordinator = coordinator,
                     .observers = {&observer},
                     .task = task,
                     .loss = loss,
                     .optimizer = optimizer,
                     .save_best = save_best,
                     .best_may_wait = best_may_wait,
                     .save_last = save_last,
                     .sharding = sharding,
                     .share_frozen = share_frozen,
                     .frozen_state = frozen_state,
                     .frozen_state_folder = frozen_state_folder,
                     .log_every = log_every,
                     .audit_every = audit_every,
                     .forgetting = forgetting,
                     .checkpoints = checkpoints});
    return trainer.run();
  }

  /// A rank alone.
  RunSummary run(Model& model, const Dataset& dataset, TrainingObserver& observer) const {
    const auto alone = make_self_communicator();
    const auto coordinator = make_local_coordinator();
    return run(model, dataset, observer, *alone, *coordinator);
  }
};

}  // namespace thaw
