#include "launch/price/rehearsal.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "core/base/stopwatch.h"
#include "core/base/system.h"
#include "core/config/configuration.h"
#include "core/data/dataset.h"
#include "core/parallel/communicator.h"
#include "core/parallel/stage_coordinator.h"
#include "core/parallel/step_monitor.h"
#include "core/record/observer.h"
#include "core/tasks/task.h"
#include "core/train/trainer.h"
#include "launch/price/data_loads.h"
#include "launch/run/run_setup.h"
#include "launch/run/stage_coordination.h"

namespace thaw {
namespace {

// Note [A rehearsal is a run]
// What a step costs is measured by training: the trainer itself, its coordinator, reducer, loader
// and optimizer, on the ranks, threads and data of the run, over stages of a few steps each. So a
// probe cannot leave out what a run has (sums beside backward, ranks that share the memory's
// bandwidth, batches of text of many lengths), and what changes in the trainer changes here too.
// Three things differ. Learning rates are 1e-9 of the run's, so that the network stays what it is;
// the splits are cut down to a few batches, so that evaluations and the making of a cache are
// short; and state that waits on disk does so in the folder for temporary files, as there is none
// of a run yet.

constexpr double kRateFactor = 1e-9;

/// Keeps what is told, by stage. Clocks what nobody times: all between two things that are told of
/// and say themselves how long they took. (What a GPU did is told later than it was queued, and
/// such times say nothing.)
class Listener final : public TrainingObserver {
 public:
  explicit Listener(bool clocks) : clocks_(clocks) {}

  void transition(const TransitionReport& report) override {
    const bool first = stages_.empty();  // before which the trainer itself was made
    const double whole = since_told(0);
    at(report.stage).transition_seconds += clocks_ && !first ? whole : report.seconds;
  }
  void step(const StepReport& report) override {
    RehearsedStep step{.samples = report.samples,
                       .seconds = report.seconds,
                       .forward = report.compute_seconds,
                       .data = report.data_seconds,
                       .exposed = report.communication_seconds,
                       .gap = since_told(report.seconds),
                       .bytes = report.bytes_reduced,
                       .cursor = cursor_};
    if (report.compute_parts) {
      step.forward = report.compute_parts->forward;
      step.backward = report.compute_parts->backward;
      step.optimizer = report.compute_parts->optimizer;
    }
    cursor_ += report.samples;
    RehearsedStage& stage = at(report.stage);
    if (stage.steps.empty()) stage.transition_seconds += std::exchange(step.gap, 0);
    stage.steps.push_back(step);
  }
  void evaluation(const EvaluationReport& report) override {
    since_told(0);
    at(report.stage).evaluation_seconds = report.seconds;
    at(report.stage).groups_seconds = report.group_seconds;
  }
  void prefix_cache(const PrefixCacheReport& report) override {
    if (report.split == "train") at(report.stage).reads_prefix = report.used;
  }
  void end(const RunSummary& summary) override {
    for (const StageSummary& row : summary.stages) {
      RehearsedStage& stage = at(row.name);
      stage.peak_memory_bytes = std::max(stage.peak_memory_bytes, row.peak_memory_bytes);
    }
  }

  std::vector<RehearsedStage> take() { return std::move(stages_); }

 private:
  /// But for `timed` seconds of it.
  double since_told(double timed) {
    const double seconds = watch_.lap() - timed;
    return clocks_ ? std::max(0.0, seconds) : 0;
  }
  RehearsedStage& at(const std::string& name) {
    for (RehearsedStage& stage : stages_) {
      if (stage.name == name) return stage;
    }
    stages_.push_back({.name = name});
    return stages_.back();
  }

  bool clocks_;
  Stopwatch watch_;
  std::vector<RehearsedStage> stages_;
  std::int64_t cursor_ = 0;
};

/// The first samples of an order, ascending.
std::vector<std::int64_t> first_samples(const Split& split, const DataOptions& data,
                                        std::int64_t count) {
  DataLoads order(split, count, /*ranks=*/1, static_cast<std::uint64_t>(data.seed));
  std::vector<std::int64_t> samples = order.samples_of(0);
  std::sort(samples.begin(), samples.end());
  return samples;
}

}  // namespace

Stage short_stage(const Stage& stage, std::int64_t steps, double seconds, bool has_validation) {
  Stage shorter = stage;
  shorter.until = {.kind = EndCondition::Kind::kAny,
                   .trigger = {},
                   .conditions = {after_steps(steps), after_seconds(seconds)}};
  shorter.curve = {};
  shorter.thawed_warmup_steps = 0;
  shorter.thawed_rate_cap = 0;
  if (!has_validation) shorter.restore_best.reset();
  for (double& rate : shorter.learning_rates) rate *= kRateFactor;
  return shorter;
}

void narrow_for_rehearsal(const RunSetup& setup, const DataOptions& data, std::int64_t batches) {
  Dataset& dataset = *setup.dataset;
  const std::int64_t samples = dataset.split("train").size();
  if (samples > batches * data.batch) {
    dataset.narrow("train", first_samples(dataset.split("train"), data, batches * data.batch));
  }
  if (!dataset.has_split("validation")) return;
  const std::int64_t evaluated =
      2 * (data.evaluation_batch > 0 ? std::min(data.evaluation_batch, data.batch) : data.batch);
  if (dataset.split("validation").size() > evaluated) {
    dataset.narrow("validation", first_samples(dataset.split("validation"), data, evaluated));
  }
}

std::vector<RehearsedStage> rehearse(const RehearsalRequest& request, Communicator& ranks) {
  const RunSetup& setup = request.setup;
  const Configuration& configuration = setup.configuration();
  TrainOptions train = request.train;
  train.evaluate_every = std::int64_t{1} << 40;  // at each stage's end alone
  StepMonitor monitor;
  const std::unique_ptr<StageCoordinator> coordinator =
      coordinator_for(ranks, configuration, monitor);
  Listener listener(/*clocks=*/!setup.gpu);
  std::vector<TrainingObserver*> observers;
  if (ranks.rank() == 0) observers.push_back(&listener);
  {
    Trainer trainer({.model = *setup.model,
                     .dataset = *setup.dataset,
                     .schedule = request.schedule,
                     .data = request.data,
                     .train = train,
                     .communicator = ranks,
                     .coordinator = *coordinator,
                     .observers = observers,
                     .task = setup.task,
                     .sharding = configuration.distributed.sharding,
                     .share_frozen = configuration.distributed.share_frozen,
                     .frozen_state = configuration.distributed.frozen_state,
                     .frozen_state_folder = temporary_folder(),
                     .monitor = &monitor});
    trainer.run();
  }
  std::vector<RehearsedStage> stages = listener.take();
  DataLoads loads(setup.dataset->split("train"), request.data.batch, ranks.size(),
                  static_cast<std::uint64_t>(request.data.seed));
  for (RehearsedStage& stage : stages) {
    for (RehearsedStep& step : stage.steps) step.load = loads.of_batch(step.cursor);
  }
  return stages;
}

}  // namespace thaw
