// A price by a rehearsal: of the ranks that there are.
#include <ATen/Parallel.h>
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "core/base/numbers.h"
#include "core/base/system.h"
#include "core/config/configuration.h"
#include "core/data/dataset.h"
#include "core/models/model.h"
#include "core/models/model_bytes.h"
#include "core/parallel/communicator.h"
#include "core/schedule/stage_length.h"
#include "core/schedule/stage_plan.h"
#include "core/step/parameter_table.h"
#include "core/train/reduction_rules.h"
#include "launch/price/data_loads.h"
#include "launch/price/peak_memory.h"
#include "launch/price/price.h"
#include "launch/price/rehearsed_run.h"
#include "launch/price/stage_bytes.h"
#include "launch/run/run_setup.h"
#include "launch/terminal/text_table.h"

namespace thaw {
namespace {

/// Makes the price of what was rehearsed, on rank 0.
class RehearsedPrice {
 public:
  /// `whole`: the training split before it was narrowed, which is still there.
  RehearsedPrice(const RunSetup& setup, const Schedule& schedule, const ParameterTable& parameters,
                 const Split& whole, const RehearsedRun& run, int ranks)
      : setup_(setup),
        schedule_(schedule),
        configuration_(setup.configuration()),
        whole_(whole),
        parameters_(parameters),
        run_(run),
        ranks_(ranks) {
    fit();
  }

  StagePrice of_stage(std::size_t stage) const;
  /// Bytes of gradients, state and start weights that the stage has beyond those of the one before.
  std::int64_t held_anew(std::size_t stage) const;

 private:
  void fit();
  double depth_of(std::size_t kind) const;
  bool was_run(std::size_t stage) const;
  /// Null where steps of the stage's kind were not run with a cache, or the stage reads none.
  const RehearsedStage* cached_run(std::size_t stage) const;
  StepFit fit_of_stage(std::size_t stage) const;
  bool came_to_the_next(std::size_t stage) const;
  StageBytes bytes_of(std::size_t stage) const;
  std::int64_t rows_touched(const Split& split, std::int64_t batch, std::int64_t cursor) const;
  std::int64_t memory_of(std::size_t stage, const StepFit& fit, const Loads& load) const;
  std::string cache_text(std::size_t stage) const;
  void add_evaluations(std::size_t stage, const StepFit& fit, StagePrice& row) const;
  void add_saving(std::size_t stage, StagePrice& row) const;

  const RunSetup& setup_;
  const Schedule& schedule_;
  const Configuration& configuration_;
  const Split& whole_;
  const ParameterTable& parameters_;
  const RehearsedRun& run_;
  int ranks_;
  bool alternates_ = false;      ///< steps with and without overlap, at first
  std::vector<PlacedFit> fits_;  ///< of the kinds that were run, by depth
  double mean_over_typical_ = 1;
  std::vector<double> looking_;  ///< seconds of each stage
};

double RehearsedPrice::depth_of(std::size_t kind) const {
  const StageKind& it = run_.kinds.kinds[kind];
  std::int64_t all = 1;
  for (const std::int64_t elements : parameters_.elements_by_group()) all += elements;
  return static_cast<double>(parameters_.places().size() - it.cut) +
         static_cast<double>(it.elements) / static_cast<double>(all);
}

bool RehearsedPrice::was_run(std::size_t stage) const {
  const std::size_t kind = run_.kinds.of_stage[stage];
  return std::find(run_.chosen.begin(), run_.chosen.end(), kind) != run_.chosen.end();
}

const RehearsedStage* RehearsedPrice::cached_run(std::size_t stage) const {
  const StageReading* reading = run_.reading_of(stage);
  if (reading == nullptr || !reading->groups) return nullptr;
  const auto at = std::find(run_.reading.begin(), run_.reading.end(), run_.kinds.of_stage[stage]);
  if (at == run_.reading.end()) return nullptr;
  const RehearsedStage& cached = run_.cached[static_cast<std::size_t>(at - run_.reading.begin())];
  return cached.reads_prefix ? &cached : nullptr;
}

void RehearsedPrice::fit() {
  const DistributedOptions& distributed = configuration_.distributed;
  alternates_ = ranks_ > 1 && distributed.overlap == Overlap::kAuto &&
                distributed.sharding == Sharding::kNone &&
                canonical_shards(configuration_.train) == 0 && !setup_.gpu;
  std::vector<Stage> rehearsed;  // until then
  for (std::size_t i = 0; i < run_.chosen.size(); ++i) {
    const RehearsedStage* smaller = run_.smaller.empty() ? nullptr : &run_.smaller[i];
    PlacedFit placed{.depth = depth_of(run_.chosen[i]),
                     .fit = fit_of(run_.stages[i], smaller, alternates_),
                     .run = i};
    const std::vector<Stage> own =
        stages_for_memory(schedule_.stages[run_.kinds.kinds[run_.chosen[i]].first], parameters_);
    for (const Stage& stage : own) {
      rehearsed.push_back(stage);
      // What the fullest choice had is taken off where it is its memory that counts.
      if (&stage != &own.front() && run_.stages[i].peak_load == 0) continue;
      placed.fit.held_bytes = held_after(setup_, parameters_, rehearsed, ranks_).all();
    }
    fits_.push_back(placed);
  }
  mean_over_typical_ = mean_over_typical(run_.stages, alternates_);
  std::vector<std::size_t> cuts;
  for (const std::size_t kind : run_.kinds.of_stage) cuts.push_back(run_.kinds.kinds[kind].cut);
  looking_ = looking_seconds({.cuts = cuts,
                              .spans = run_.spans,
                              .batch = static_cast<double>(configuration_.data.batch),
                              .evaluates = run_.validation_load > 0,
                              .ahead = run_.ahead});
  std::stable_sort(fits_.begin(), fits_.end(),
                   [](const PlacedFit& a, const PlacedFit& b) { return a.depth < b.depth; });
}

/// Memory is that of steps that run everything, which is enough for those that read.
StepFit RehearsedPrice::fit_of_stage(std::size_t stage) const {
  StepFit fit = fit_at(fits_, depth_of(run_.kinds.of_stage[stage]));
  const StageReading* reading = run_.reading_of(stage);
  if (reading == nullptr || !reading->groups) return fit;
  if (const RehearsedStage* cached = cached_run(stage)) {
    const StepFit read = fit_of(*cached, nullptr, alternates_);
    fit.forward = read.forward;
    fit.backward = read.backward;
    fit.rest = read.rest;
    return fit;
  }
  // Not run so: without what it does not run.
  const double load = whole_load(whole_) / static_cast<double>(whole_.size());
  fit.forward.per_sample = std::max(0.0, fit.forward.per_sample - reading->sample_seconds / load);
  return fit;
}

std::int64_t RehearsedPrice::rows_touched(const Split& split, std::int64_t batch,
                                          std::int64_t cursor) const {
  DataLoads order(split, batch, ranks_, static_cast<std::uint64_t>(configuration_.data.seed));
  return distinct_tokens(split, order.samples_of(cursor));
}

StageBytes RehearsedPrice::bytes_of(std::size_t stage) const {
  const StagePlan plan = make_stage_plan(parameters_.groups(), parameters_.facts(),
                                         schedule_.stages[stage], configuration_.train);
  if (!was_run(stage)) return bytes_of_plan(plan, parameters_, ranks_);
  const auto at = std::find(run_.chosen.begin(), run_.chosen.end(), run_.kinds.of_stage[stage]);
  const StageSpan& span = run_.spans[stage];
  const std::int64_t batch = configuration_.data.batch;
  const std::int64_t last =
      advance_cursor(span.cursor, std::max<std::int64_t>(0, span.steps - 1), whole_.size(), batch);
  return bytes_of_stage(
      run_.stages[static_cast<std::size_t>(at - run_.chosen.begin())], plan, parameters_, ranks_,
      {.rehearsed =
           [&](std::int64_t cursor) {
             return rows_touched(setup_.dataset->split("train"), run_.size.batch, cursor);
           },
       .last = [&] { return rows_touched(whole_, batch, last); }});
}

/// Whether the rehearsal made ready in this stage what it will in the run: it had all its steps,
/// and the same stage followed.
bool RehearsedPrice::came_to_the_next(std::size_t stage) const {
  if (run_.chosen.size() != schedule_.stages.size() || schedule_.stages[stage].policy) return false;
  const std::vector<RehearsedStep>& steps = run_.stages[stage].steps;
  return static_cast<std::int64_t>(steps.size()) == kRehearsalWarmUp + kRehearsalSteps;
}

std::int64_t RehearsedPrice::memory_of(std::size_t stage, const StepFit& fit,
                                       const Loads& load) const {
  const HeldBytes held =
      held_after(setup_, parameters_, std::span(schedule_.stages).first(stage + 1), ranks_);
  const bool looks = looking_[stage] > 0;
  double copies = copied_bytes(setup_, parameters_, schedule_, stage, ranks_);
  if (!came_to_the_next(stage)) {
    copies += prepared_bytes(setup_, parameters_, schedule_, stage, ranks_);
  }
  return peak_memory({.resident = run_.resident,
                      .held = was_run(stage) ? std::max(held.all(), fit.held_bytes) : held.all(),
                      .looking = looks ? run_.ahead.looking_bytes + held.state + held.start : 0,
                      .fit = fit,
                      .slope = measured_slope(fits_, run_.smaller),
                      .load = load,
                      .copies = copies,
                      .ragged = whole_.is_ragged()});
}

std::int64_t RehearsedPrice::held_anew(std::size_t stage) const {
  if (stage == 0) return 0;
  const auto held = [&](std::size_t stages) {
    return held_after(setup_, parameters_, std::span(schedule_.stages).first(stages), ranks_).all();
  };
  return static_cast<std::int64_t>(std::max(0.0, held(stage + 1) - held(stage)));
}

std::string RehearsedPrice::cache_text(std::size_t stage) const {
  if (configuration_.train.prefix_cache == PrefixCacheUse::kOff) return {};
  const StageReading* reading = run_.reading_of(stage);
  if (reading == nullptr || !reading->groups) {
    const std::string& why = reading != nullptr ? reading->why_not : run_.ahead.why_not;
    return "not used: " + (why.empty()
                               ? "nothing stays frozen before what is trained, or what does changes"
                               : why);
  }
  return fmt::format("reads the outputs of {} ({}){}",
                     setup_.model->groups()[*reading->groups - 1].name, memory_text(reading->bytes),
                     reading->making_seconds > 0
                         ? fmt::format(", made in {:.2g} s", reading->making_seconds)
                         : "");
}

/// Where steps read a cache, evaluations do. All stages evaluate the same network.
void RehearsedPrice::add_evaluations(std::size_t stage, const StepFit& fit, StagePrice& row) const {
  if (run_.evaluated_load == 0) return;
  std::vector<double> all;
  for (const RehearsedStage& each : run_.stages) all.push_back(each.evaluation_seconds);
  double seconds = median(all);
  if (const RehearsedStage* cached = cached_run(stage)) seconds = cached->evaluation_seconds;
  row.evaluations = run_.spans[stage].evaluations;
  row.evaluation_seconds =
      static_cast<double>(row.evaluations) *
      (seconds * run_.validation_load / run_.evaluated_load + fit.groups_seconds);
}

void RehearsedPrice::add_saving(std::size_t stage, StagePrice& row) const {
  if (!run_.saving) return;
  const CheckpointOptions& checkpoint = configuration_.checkpoint;
  StageSaving saving{.weights = static_cast<double>(bytes_of_model(*setup_.model)),
                     .state = state_bytes(setup_, parameters_, schedule_, stage),
                     .best = row.evaluations,
                     .last = stage + 1 == schedule_.stages.size(),
                     .asynchronous = checkpoint.asynchronous,
                     .all_compute = !setup_.gpu && at::get_num_threads() >= setup_.topology.threads,
                     .ranks = ranks_};
  if (checkpoint.every_steps >= 0) {
    saving.checkpoints = 1 + (checkpoint.every_steps > 0 ? row.steps / checkpoint.every_steps : 0);
  }
  row.saving_seconds = saving_seconds(saving, *run_.saving);
}

StagePrice RehearsedPrice::of_stage(std::size_t stage) const {
  const StageSpan& span = run_.spans[stage];
  DataLoads loads(whole_, configuration_.data.batch, ranks_,
                  static_cast<std::uint64_t>(configuration_.data.seed));
  // Of a stage whose length nobody knows: the batches that come first.
  const Loads load =
      loads.of_steps(span.cursor, span.steps > 0 ? span.steps : DataLoads::kMostSteps);
  const StepFit fit = fit_of_stage(stage);
  const StageBytes bytes = bytes_of(stage);
  const StageReading* reading = run_.reading_of(stage);
  StagePrice row;
  row.name = schedule_.stages[stage].name;
  row.steps = span.steps;
  row.may_be_fewer = span.may_be_fewer;
  row.step = fit.at(load.mean);
  row.steps_seconds = fit.seconds_of(span.steps, load.mean, mean_over_typical_);
  row.transition_seconds = fit.transition_seconds + looking_[stage];
  row.cache = cache_text(stage);
  if (reading != nullptr && reading->groups) row.cache_seconds = reading->making_seconds;
  row.bytes = bytes.bytes;
  // Another choice of the policy sends other bytes.
  row.bytes_are_exact = bytes.exact && (ranks_ == 1 || !schedule_.stages[stage].policy);
  row.memory_bytes = memory_of(stage, fit, load);
  row.interpolated = !was_run(stage);
  add_evaluations(stage, fit, row);
  add_saving(stage, row);
  return row;
}

}  // namespace

std::optional<Price> price_here(const RunSetup& setup, const Schedule& schedule,
                                Communicator& ranks) {
  const ParameterTable parameters(*setup.model, setup.configuration().train.decay_norms_and_biases);
  const Split& whole = setup.dataset->split("train");
  const RehearsedRun run = rehearse_run(setup, schedule, parameters, ranks);
  if (ranks.rank() != 0) return std::nullopt;
  const RehearsedPrice prices(setup, schedule, parameters, whole, run, ranks.size());
  Price price{.ranks = ranks.size(),
              .threads = at::get_num_threads(),
              .network = {},
              .stages = {},
              .probe_seconds = run.seconds,
              .batch = setup.configuration().data.batch,
              .probed_samples = run.size.batch};
  std::int64_t memory = 0;
  for (std::size_t s = 0; s < schedule.stages.size(); ++s) {
    price.stages.push_back(prices.of_stage(s));
    // What was freed stays, and is not where what is made anew would have room.
    memory = std::max(memory + prices.held_anew(s), price.stages.back().memory_bytes);
    price.stages.back().memory_bytes = memory;
  }
  return price;
}

}  // namespace thaw
