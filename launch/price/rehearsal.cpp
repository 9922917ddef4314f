#include "launch/price/rehearsal.h"

#include <ATen/core/Tensor.h>

#include <algorithm>
#include <limits>
#include <map>
#include <memory>
#include <set>
#include <utility>

#include "core/base/stopwatch.h"
#include "core/base/system.h"
#include "core/config/configuration.h"
#include "core/data/dataset.h"
#include "core/parallel/communicator.h"
#include "core/parallel/stage_coordinator.h"
#include "core/parallel/step_monitor.h"
#include "core/record/observer.h"
#include "core/schedule/policies/policy.h"
#include "core/schedule/schedule_run.h"
#include "core/step/parameter_table.h"
#include "core/step/peak_memory_cuda.h"
#include "core/tasks/task.h"
#include "core/train/trainer.h"
#include "launch/price/data_loads.h"
#include "launch/price/step_fit.h"
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

/// Keeps what is told, by stage of the schedule: segments of one are steps of that stage. Clocks
/// what nobody times: all between two things that are told of and say themselves how long they
/// took. (What a GPU did is told later than it was queued, and such times say nothing.)
class Listener final : public TrainingObserver {
 public:
  explicit Listener(bool clocks) : clocks_(clocks) {}

  void transition(const TransitionReport& report) override {
    const bool first = stages_.empty();  // before which the trainer itself was made
    const double whole = since_told(0);
    begin(report);
    entered_ = true;
    // A further segment's is no part of how the stage begins, nor of what stands between steps.
    if (report.segment.value_or(0) > 0) return;
    at(report.stage).transition_seconds = clocks_ && !first ? whole : report.seconds;
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
    if (std::exchange(entered_, false)) {
      const double gap = std::exchange(step.gap, 0);
      if (stage.steps.empty()) stage.transition_seconds += gap;
    }
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
    std::size_t index = 0;
    for (std::size_t row = 0; row < summary.stages.size(); ++row) {
      if (row > 0 && !summary.stages[row].goes_on) ++index;
      std::int64_t& peak = stages_.at(index).peak_memory_bytes;
      peak = std::max(peak, summary.stages[row].peak_memory_bytes);
    }
  }

  std::vector<RehearsedStage> take() { return std::move(stages_); }

 private:
  /// But for `timed` seconds of it.
  double since_told(double timed) {
    const double seconds = watch_.lap() - timed;
    return clocks_ ? std::max(0.0, seconds) : 0;
  }
  void begin(const TransitionReport& report) {
    index_of_[report.stage] = report.index;
    if (report.index < stages_.size()) return;
    stages_.resize(report.index + 1);
    stages_.back().name = report.stage;
  }
  /// Each stage or segment is told of first by its transition, by its name afterwards.
  RehearsedStage& at(const std::string& name) { return stages_.at(index_of_.at(name)); }

  bool clocks_;
  Stopwatch watch_;
  bool entered_ = false;  ///< no step was told of since the last transition
  std::map<std::string, std::size_t> index_of_;
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
  const std::int64_t together = data.evaluation_batch > 0 ? data.evaluation_batch : data.batch;
  const std::int64_t evaluated = std::max(together, 2 * std::min(together, data.batch));
  const Split& validation = dataset.split("validation");
  if (validation.size() > evaluated) {
    dataset.narrow("validation", longest_samples(validation, evaluated));
  }
}

// Note [Memory of a policy]
// A rehearsal comes to the first sets that a policy chooses, and a run to all others: deeper ones,
// larger ones, and in the end the optimizer's state of all that were chosen. So behind a stage with
// a policy a few steps are run of the fullest set that it may choose, whose memory is taken for the
// stage's; the state of all groups is added by their sizes (held_after). All groups at once are not
// run: whoever draws two layers of thirty may have no room for thirty.

namespace {

/// What decides of a group how much memory it takes.
struct GroupSize {
  std::size_t place = std::numeric_limits<std::size_t>::max();  ///< the first of the model's
  std::int64_t elements = 0;
};

std::map<std::string, GroupSize> group_sizes(const ParameterTable& parameters) {
  std::map<std::string, GroupSize> sizes;
  for (const ParameterFacts& each : parameters.facts()) {
    GroupSize& size = sizes[parameters.groups()[each.group]];
    size.place = std::min(size.place, each.place.value_or(each.group));
    size.elements += each.elements();
  }
  return sizes;
}

/// How many of `others`, which are not always active, the policy chooses at once.
std::size_t drawn_of(const Stage& stage, const std::vector<std::string>& others) {
  const auto first = stage.policy->foreseen(stage.groups, 0);
  if (!first) return others.size();
  const std::size_t always = stage.groups.size() - others.size();
  return std::min(others.size(), first->size() - std::min(first->size(), always));
}

}  // namespace

std::vector<std::string> fullest_groups(const Stage& stage, const ParameterTable& parameters,
                                        Fullest what) {
  if (!stage.policy) return stage.groups;
  std::map<std::string, GroupSize> sizes = group_sizes(parameters);
  std::vector<std::string> others = stage.policy->chosen_among(stage.groups);
  std::stable_sort(others.begin(), others.end(), [&](const std::string& a, const std::string& b) {
    return sizes[a].elements > sizes[b].elements;
  });
  if (what == Fullest::kDeepest) {
    const auto deepest = std::min_element(others.begin(), others.end(),
                                          [&](const std::string& a, const std::string& b) {
                                            return sizes[a].place < sizes[b].place;
                                          });
    if (deepest != others.end()) std::rotate(others.begin(), deepest, deepest + 1);
  }
  const auto drawn = static_cast<std::ptrdiff_t>(drawn_of(stage, others));
  const std::set<std::string> left(others.begin() + drawn, others.end());
  std::vector<std::string> groups = stage.groups;
  std::erase_if(groups, [&](const std::string& group) { return left.contains(group); });
  return groups;
}

std::vector<Stage> stages_for_memory(const Stage& stage, const ParameterTable& parameters) {
  if (!stage.policy) return {stage};
  const auto first = stage.policy->foreseen(stage.groups, 0);
  std::vector<Stage> stages = {with_groups(stage, first.value_or(stage.groups))};
  Stage fullest = with_groups(stage, fullest_groups(stage, parameters, Fullest::kDeepest));
  fullest.name += "/fullest";
  if (fullest.groups != stages.front().groups) stages.push_back(fullest);
  for (Stage& each : stages) each.policy = {};
  return stages;
}

std::vector<RehearsedStage> with_fullest(const std::vector<RehearsedStage>& stages,
                                         const std::vector<bool>& stands_for_another) {
  std::vector<RehearsedStage> rows;
  for (std::size_t i = 0; i < stages.size(); ++i) {
    if (!stands_for_another[i]) {
      rows.push_back(stages[i]);
    } else if (stages[i].peak_memory_bytes >= rows.back().peak_memory_bytes) {
      rows.back().peak_memory_bytes = stages[i].peak_memory_bytes;
      rows.back().peak_load = largest_load(stages[i].steps);
    }
  }
  return rows;
}

void reset_peak(const ParameterTable& parameters) {
  const at::Tensor& first = parameters.tensors().front();
  if (first.is_cuda()) return reset_peak_gpu(first.device());
  reset_peak_resident();
}

double peak_bytes(const ParameterTable& parameters) {
  const at::Tensor& first = parameters.tensors().front();
  return static_cast<double>(first.is_cuda() ? peak_gpu_bytes(first.device())
                                             : peak_resident_bytes());
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
