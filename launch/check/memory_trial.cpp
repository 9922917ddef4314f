#include "launch/check/memory_trial.h"

#include <ATen/core/Tensor.h>

#include <memory>

#include "core/base/system.h"
#include "core/data/dataset.h"
#include "core/models/model_bytes.h"
#include "core/parallel/one_rank.h"
#include "core/parallel/stage_coordinator.h"
#include "core/parallel/step_monitor.h"
#include "core/record/observer.h"
#include "core/schedule/end_condition.h"
#include "core/train/trainer.h"
#include "dist/communicator/absent_peers.h"
#include "launch/check/fullest_forward.h"
#include "launch/price/data_loads.h"
#include "launch/run/run_setup.h"
#include "launch/run/stage_coordination.h"

namespace thaw {
namespace {

// Note [Memory by trial]
// Activations follow from the model's code, from which inputs a batch has and from what kernels
// allocate on the way: no formula keeps up with that. So `thaw check --ranks N` trains: the very
// trainer, reducer, optimizer and loader of a run, as rank 0 of N, over a communicator whose other
// ranks are absent (dist/communicator/absent_peers.h), and reads the figure that a run reports,
// the most that was resident within the stage. What an absent rank does not show is added by
// launch/check/memory_table.cpp: what MPI takes, and the copy that checkpoints are written from.
// The trial reads the first batches that the run will have: where texts differ in length, freed
// memory of one shape serves the next badly, which counts for a tenth of the activations and more,
// and for another part in each run of the same command (10 of a BERT with 4 layers lay 5 % of the
// whole apart). So there is room for that. A run's later batches may be fuller: their number of
// tokens is known beforehand, and activations are told in proportion. A limit of tokens
// (train.micro-batch-tokens) is no answer: shares may be far below it, and freed memory serves as
// badly below it.

constexpr std::int64_t kSteps = 12;
/// Of activations, where texts differ in length.
constexpr double kRoom = 1.15;

/// Leaves one batch of the validation split, of the longest samples.
void leave_one_evaluation(RunSetup& setup) {
  if (!setup.dataset->has_split("validation")) return;
  const DataOptions& data = setup.configuration().data;
  const std::int64_t evaluated = data.evaluation_batch > 0 ? data.evaluation_batch : data.batch;
  setup.dataset->narrow("validation",
                        longest_samples(setup.dataset->split("validation"), evaluated));
}

/// The same stages, each of a few steps with all of its groups.
Schedule shortened(const Schedule& schedule) {
  Schedule result = schedule;
  for (Stage& stage : result.stages) {
    stage.until = after_steps(kSteps);
    stage.curve = {};
    stage.policy = {};
    stage.restore_best = {};
  }
  return result;
}

/// Keeps nothing. But as long as somebody listens, rank 0 measures what a run's evaluations tell,
/// for which it keeps start weights.
class Listener final : public TrainingObserver {
  bool step_reads_weights() const override { return false; }
};

}  // namespace

MemoryTrial try_memory(RunSetup& setup, const Schedule& schedule, int ranks) {
  Configuration& configuration = setup.document.configuration;
  configuration.train.prefix_cache = PrefixCacheUse::kOff;  // no files; reading takes less
  configuration.train.not_finite = NotFinite::kSkip;        // numbers mean nothing here
  configuration.train.skip_limit = kSteps;
  leave_one_evaluation(setup);
  std::unique_ptr<Communicator> communicator = make_self_communicator();
  if (ranks > 1) communicator = std::make_unique<AbsentPeers>(ranks, /*equal=*/true);
  StepMonitor monitor;
  Listener listener;
  const auto coordinator = coordinator_for(*communicator, configuration, monitor);
  const Schedule stages = shortened(schedule);
  MemoryTrial trial;
  const Split& split = setup.dataset->split("train");
  if (split.format().kind == DataKind::kText) {
    trial.fuller =
        fuller_than_tried(split, configuration, schedule,
                          {.ranks = ranks, .batches = kSteps * std::ssize(schedule.stages)});
    trial.ragged = split.is_ragged();
    if (trial.ragged) trial.fuller *= kRoom;
  }
  give_back_freed_memory();  // of what was tried before, which a run does not begin with
  if (!setup.gpu) trial.program = resident_bytes() - bytes_of_model(*setup.model);
  Trainer trainer({.model = *setup.model,
                   .dataset = *setup.dataset,
                   .schedule = stages,
                   .data = configuration.data,
                   .train = configuration.train,
                   .communicator = *communicator,
                   .coordinator = *coordinator,
                   .observers = {&listener},
                   .task = setup.task,
                   .sharding = configuration.distributed.sharding,
                   .share_frozen = configuration.distributed.share_frozen,
                   .frozen_state = configuration.distributed.frozen_state,
                   .frozen_state_folder = temporary_folder(),
                   .monitor = &monitor});
  const RunSummary summary = trainer.run();
  for (const StageSummary& stage : summary.stages) {
    trial.stages.push_back(stage.peak_memory_bytes);
  }
  return trial;
}

}  // namespace thaw
