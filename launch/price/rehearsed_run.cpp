#include "launch/price/rehearsed_run.h"

#include <algorithm>
#include <set>

#include "core/base/stopwatch.h"
#include "core/base/system.h"
#include "core/config/configuration.h"
#include "core/data/dataset.h"
#include "core/measure/operations.h"
#include "core/models/layers/batch_norm.h"
#include "core/models/model.h"
#include "core/parallel/communicator.h"
#include "core/step/freezer.h"
#include "core/step/parameter_table.h"
#include "launch/price/data_loads.h"
#include "launch/run/run_setup.h"

namespace thaw {
namespace {

/// Planned for all probing, which is told as up to 10 s: evaluations, transitions and the steps
/// that begin before the end come on top.
constexpr double kProbeSeconds = 7.5;
/// Of it, what steps that read a cache get, where there are any.
constexpr double kCachedShare = 0.35;
/// Batches that are left of the training split.
constexpr std::int64_t kBatches = 8;

/// From the first look at the data to the last step that is run.
class Rehearser {
 public:
  Rehearser(const RunSetup& setup, const Schedule& schedule, const ParameterTable& parameters,
            Communicator& ranks)
      : setup_(setup),
        schedule_(schedule),
        ranks_(ranks),
        configuration_(setup.configuration()),
        parameters_(parameters) {}

  RehearsedRun run();

 private:
  LinearCost step_cost();
  std::vector<double> seconds_left() const;
  void plan();
  void rehearse_all();
  std::vector<RehearsedStage> rehearse_kinds(const std::vector<std::size_t>& kinds,
                                             std::int64_t batch, double seconds, bool cached);
  void choose_reading();

  const RunSetup& setup_;
  const Schedule& schedule_;
  Communicator& ranks_;
  const Configuration& configuration_;
  const ParameterTable& parameters_;
  Stopwatch watch_;
  RehearsedRun run_;
};

/// Of a rank, in the deepest kind, by steps of a few samples. A collective.
LinearCost Rehearser::step_cost() {
  const auto deepest =
      std::max_element(run_.kinds.kinds.begin(), run_.kinds.kinds.end(),
                       [](const StageKind& a, const StageKind& b) { return is_deeper(b, a); });
  const Stage& stage = schedule_.stages[deepest->first];
  Freezer freezer(*setup_.model, parameters_, {});
  const BatchNorms batch_norms(*setup_.model);
  DataOptions few = configuration_.data;
  const auto timed = [&](std::int64_t samples) {
    few.batch = std::min(samples, setup_.dataset->split("train").size());
    const Stopwatch watch;
    measure_flops(*setup_.model, batch_norms, *setup_.dataset, *setup_.task, parameters_, freezer,
                  stage, few, configuration_.train);
    return watch.seconds();
  };
  constexpr std::int64_t kFew = 2;
  constexpr std::int64_t kMore = 16;
  // A model for which two samples take that long is not given many.
  constexpr double kLong = 1;
  timed(kFew);  // makes what is made once
  const double one = timed(kFew);
  const double other = one < kLong ? timed(kMore) : one * kMore / kFew;
  const LinearCost line =
      line_through(static_cast<double>(kFew), one, static_cast<double>(kMore), other);
  std::vector<double> agreed = {line.fixed, line.per_sample};
  broadcast_numbers(ranks_, agreed);
  return {agreed[0], agreed[1]};
}

/// For steps that run everything, and for those that read a cache. A collective.
std::vector<double> Rehearser::seconds_left() const {
  const double left = std::max(1.0, kProbeSeconds - watch_.seconds());
  const double cached = run_.reading.empty() ? 0 : kCachedShare;
  std::vector<double> seconds = {left * (1 - cached), left * cached};
  broadcast_numbers(ranks_, seconds);
  return seconds;
}

/// Kinds that are run, of which a stage reads a cache.
void Rehearser::choose_reading() {
  std::set<std::size_t> reading;
  for (std::size_t s = 0; s < schedule_.stages.size(); ++s) {
    const std::size_t kind = run_.kinds.of_stage[s];
    const bool chosen =
        std::find(run_.chosen.begin(), run_.chosen.end(), kind) != run_.chosen.end();
    const StageReading* read = run_.reading_of(s);
    if (chosen && read != nullptr && read->groups) reading.insert(kind);
  }
  run_.reading.assign(reading.begin(), reading.end());
}

/// How much is run, the same on all ranks.
void Rehearser::plan() {
  run_.chosen = chosen_kinds(run_.kinds.kinds, run_.kinds.kinds.size());
  choose_reading();
  const LinearCost step = step_cost();
  run_.size = rehearsal_size({.seconds = seconds_left()[0],
                              .step = step,
                              .kinds = run_.kinds.kinds.size(),
                              .batch = configuration_.data.batch,
                              .ranks = ranks_.size()});
  run_.chosen = chosen_kinds(run_.kinds.kinds, run_.size.kinds);
  choose_reading();
}

std::vector<RehearsedStage> Rehearser::rehearse_kinds(const std::vector<std::size_t>& kinds,
                                                      std::int64_t batch, double seconds,
                                                      bool cached) {
  const double each = std::max(0.05, seconds / static_cast<double>(kinds.size()));
  Schedule brief;
  std::vector<bool> stands_for_another;
  const auto add = [&](const Stage& stage, std::int64_t steps, bool for_another) {
    brief.stages.push_back(short_stage(stage, steps, each, run_.validation_load > 0));
    stands_for_another.push_back(for_another);
  };
  for (const std::size_t kind : kinds) {
    const Stage& stage = schedule_.stages[run_.kinds.kinds[kind].first];
    add(stage, kRehearsalWarmUp + kRehearsalSteps, false);
    const std::vector<Stage> for_memory = stages_for_memory(stage, parameters_);
    if (for_memory.size() > 1 && !cached) add(for_memory.back(), kRehearsalWarmUp, true);
  }
  DataOptions data = configuration_.data;
  data.batch = batch;
  TrainOptions train = configuration_.train;
  train.prefix_cache = cached ? PrefixCacheUse::kOn : PrefixCacheUse::kOff;
  const RehearsalRequest request{setup_, brief, data, train};
  return with_fullest(cached ? rehearse_with_cache(request, ranks_) : rehearse(request, ranks_),
                      stands_for_another);
}

/// Memory that was freed stays resident, so what takes less comes first, and what steps were timed
/// with before is given back.
void Rehearser::rehearse_all() {
  DataOptions narrowed = configuration_.data;
  narrowed.batch = run_.size.batch;
  narrow_for_rehearsal(setup_, narrowed, kBatches);
  if (run_.validation_load > 0) {
    run_.evaluated_load = whole_load(setup_.dataset->split("validation"));
  }
  std::vector<double> seconds = seconds_left();
  give_back_freed_memory();
  if (run_.size.smaller > 0) {
    run_.smaller = rehearse_kinds(run_.chosen, run_.size.smaller, seconds[0] / 3, false);
    seconds[0] *= 2.0 / 3;
    give_back_freed_memory();
  }
  run_.stages = rehearse_kinds(run_.chosen, run_.size.batch, seconds[0], false);
  if (!run_.reading.empty()) {
    run_.cached = rehearse_kinds(run_.reading, run_.size.batch, seconds[1], true);
  }
  if (ranks_.rank() == 0) {
    run_.saving = measure_saving(configuration_.output.run_dir);
  }
}

RehearsedRun Rehearser::run() {
  reset_peak(parameters_);
  run_.resident = peak_bytes(parameters_);
  run_.kinds = stage_kinds(schedule_, parameters_, configuration_.train);
  run_.spans = stage_spans(schedule_, {.samples = setup_.dataset->split("train").size(),
                                       .batch = configuration_.data.batch,
                                       .evaluate_every = configuration_.train.evaluate_every});
  if (setup_.dataset->has_split("validation")) {
    run_.validation_load = whole_load(setup_.dataset->split("validation"));
  }
  run_.ahead = foresee_readings(setup_, schedule_, parameters_, ranks_);
  plan();
  rehearse_all();
  run_.seconds = watch_.seconds();
  return std::move(run_);
}

}  // namespace

const StageReading* RehearsedRun::reading_of(std::size_t stage) const {
  return stage < ahead.readings.size() ? &ahead.readings[stage] : nullptr;
}

RehearsedRun rehearse_run(const RunSetup& setup, const Schedule& schedule,
                          const ParameterTable& parameters, Communicator& ranks) {
  return Rehearser(setup, schedule, parameters, ranks).run();
}

}  // namespace thaw
