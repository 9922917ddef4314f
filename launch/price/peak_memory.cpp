#include "launch/price/peak_memory.h"

#include <ATen/core/Tensor.h>

#include <algorithm>
#include <set>
#include <string>
#include <utility>

#include "core/config/configuration.h"
#include "core/data/dataset.h"
#include "core/models/model_bytes.h"
#include "core/schedule/schedule_run.h"
#include "core/schedule/stage_plan.h"
#include "core/step/optimizers/registry.h"
#include "core/step/parameter_table.h"
#include "core/train/best/best_weights.h"
#include "launch/price/rehearsal.h"
#include "launch/run/evaluation_setup.h"
#include "launch/run/run_setup.h"

namespace thaw {

// Note [Memory at most]
// What a rank takes was measured with the batches of the rehearsal; a run has larger ones. What was
// there before the first step stays, and what came on top of it, but for gradients and state, is
// taken to grow with the load (where two sizes were run: as they tell, and a quarter more):
// with that of the largest batch, which is found from the lengths of all samples, or, of a run so
// long that only some batches are looked at, of half as much again over the mean as any of those.
// Gradients, state and copies of start weights follow from the parameters that are active and were
// so before: a run has them of all its stages, a rehearsal of those that it runs, so what that had
// is taken off and what the run will have is put in its place. And there is what a rehearsal does
// not have: copies for checkpoints, looking whether a cache pays, and what is made ready for the
// next stage where the rehearsal had not the time to come to it. Memory that was freed stays
// resident, so a stage takes no less than the one before and what it holds beyond that; and where
// samples differ in size, what one batch freed serves the next badly, the more so the longer a run
// is: a quarter of what steps take is added (without both, a BERT's last of five stages took 8 %
// more than was told). A little is added for what allocators make of it all. So it is a bound, and
// mostly some per cent above what the run will say.

double measured_slope(const std::vector<PlacedFit>& fits,
                      const std::vector<RehearsedStage>& smaller) {
  if (smaller.empty()) return 0;
  const PlacedFit& deepest = fits.back();
  // The same stage: another one's memory would tell what lies between the two stages.
  const StepFit less = fit_of(smaller[deepest.run], nullptr, false);
  const double grown = deepest.fit.peak_bytes - less.peak_bytes;
  const double loads = deepest.fit.largest_load - less.largest_load;
  return grown > 0 && loads > 0 ? grown / loads : 0;
}

std::int64_t peak_memory(const PeakQuestion& question) {
  constexpr double kShare = 1.04;
  constexpr double kBytes = 16 << 20;
  constexpr double kApart = 0.25;
  const StepFit& fit = question.fit;
  const double over = 1.5 * std::max(0.0, question.load.largest - question.load.mean);
  const double largest = question.load.mean + over;
  const double more = std::max(0.0, largest - fit.largest_load);
  const double grows = std::max(0.0, fit.peak_bytes - question.resident - fit.held_bytes);
  double slope = fit.largest_load > 0 ? grows / fit.largest_load : 0;
  if (question.slope > 0) slope = 1.25 * question.slope;
  const double apart = question.ragged ? kApart * grows : 0;
  const double steps = fit.peak_bytes - fit.held_bytes + question.held + slope * more + apart;
  const double most = std::max(steps, question.looking) + question.copies;
  return static_cast<std::int64_t>(kShare * most + kBytes);
}

namespace {

StagePlan plan_of(const RunSetup& setup, const ParameterTable& parameters, const Stage& stage) {
  return make_stage_plan(parameters.groups(), parameters.facts(), stage,
                         setup.configuration().train);
}

double active_bytes(const StagePlan& plan) {
  double bytes = 0;
  for (const ParameterFacts& facts : plan.parameters()) {
    bytes += static_cast<double>(facts.elements()) * static_cast<double>(size_of(facts.type));
  }
  return bytes;
}

using ParameterNames = std::set<std::string>;

ParameterNames names_of(const StagePlan& plan) {
  ParameterNames names;
  for (const ParameterFacts& facts : plan.parameters()) names.insert(facts.name);
  return names;
}

double bytes_of(const ParameterNames& names, const ParameterTable& parameters) {
  double bytes = 0;
  for (const ParameterFacts& facts : parameters.facts()) {
    if (!names.contains(facts.name)) continue;
    bytes += static_cast<double>(facts.elements()) * static_cast<double>(size_of(facts.type));
  }
  return bytes;
}

/// Of what is active together, at most.
double bytes_at_once(const RunSetup& setup, const ParameterTable& parameters, const Stage& stage) {
  double most = 0;
  for (const Fullest what : {Fullest::kLargest, Fullest::kDeepest}) {
    const Stage fullest = with_groups(stage, fullest_groups(stage, parameters, what));
    most = std::max(most, active_bytes(plan_of(setup, parameters, fullest)));
  }
  return most;
}

/// As the transition to a stage does.
void forget_state(const Stage& stage, const ParameterNames& before, const ParameterNames& active,
                  ParameterNames& with_state) {
  if (stage.optimizer_state == OptimizerCarry::kKeep) return;
  const bool staying = stage.optimizer_state == OptimizerCarry::kKeepStaying;
  std::erase_if(with_state, [&](const std::string& name) {
    return !staying || !before.contains(name) || !active.contains(name);
  });
}

}  // namespace

double state_bytes(const RunSetup& setup, const ParameterTable& parameters,
                   const Schedule& schedule, std::size_t stage) {
  const TrainOptions& train = setup.configuration().train;
  std::set<std::string> seen;
  double bytes = 0;
  for (std::size_t s = 0; s <= stage; ++s) {
    const StagePlan plan = plan_of(setup, parameters, schedule.stages[s]);
    for (const ParameterFacts& facts : plan.parameters()) {
      if (!seen.insert(facts.name).second) continue;
      bytes += static_cast<double>(facts.elements()) * static_cast<double>(size_of(facts.type));
    }
  }
  return bytes * static_cast<double>(make_optimizer(train)->slots().size());
}

HeldBytes held_after(const RunSetup& setup, const ParameterTable& parameters,
                     std::span<const Stage> stages, int ranks) {
  const Configuration& configuration = setup.configuration();
  ParameterNames active, with_state, thawed;
  double at_once = 0;
  for (const Stage& stage : stages) {
    const ParameterNames before =
        std::exchange(active, names_of(plan_of(setup, parameters, stage)));
    forget_state(stage, before, active, with_state);
    with_state.insert(active.begin(), active.end());
    thawed.insert(active.begin(), active.end());
    at_once = bytes_at_once(setup, parameters, stage);
  }
  const bool shared_out = configuration.distributed.sharding != Sharding::kNone;
  const FrozenStatePlace place = configuration.distributed.frozen_state;
  const bool aside = place == FrozenStatePlace::kDisk ||
                     (place == FrozenStatePlace::kHost && setup.gpu.has_value());
  const auto slots = static_cast<double>(make_optimizer(configuration.train)->slots().size());
  HeldBytes held;
  // Ranks that share sums out have more than their slice at times: that is left with what grows.
  if (!shared_out) held.gradients = at_once;
  held.state = slots * (aside ? at_once : bytes_of(with_state, parameters));
  if (shared_out) held.state /= ranks;
  if (!setup.gpu) held.start = bytes_of(thawed, parameters);
  return held;
}

double prepared_bytes(const RunSetup& setup, const ParameterTable& parameters,
                      const Schedule& schedule, std::size_t stage, int ranks) {
  if (stage + 1 == schedule.stages.size()) return 0;
  double bytes = state_bytes(setup, parameters, schedule, stage + 1) -
                 state_bytes(setup, parameters, schedule, stage);
  if (ranks > 1) bytes += active_bytes(plan_of(setup, parameters, schedule.stages[stage + 1]));
  return bytes;
}

double copied_bytes(const RunSetup& setup, const ParameterTable& parameters,
                    const Schedule& schedule, std::size_t stage, int ranks) {
  const Configuration& configuration = setup.configuration();
  const auto weights = static_cast<double>(bytes_of_model(*setup.model));
  double bytes = 0;
  if (setup.dataset->has_split("validation")) {
    const Stage& entered = schedule.stages[stage];
    const StagePlan plan = plan_of(setup, parameters, entered);
    const bool in_segments = static_cast<bool>(entered.policy);
    bytes += static_cast<double>(most_waiting(plan, *setup.model, in_segments));
  }
  if (configuration.checkpoint.every_steps >= 0) {
    double largest = 0;  // that one rank may have more than another
    for (const at::Tensor& each : parameters.tensors()) {
      largest = std::max(largest, static_cast<double>(each.nbytes()));
    }
    double whole = weights + state_bytes(setup, parameters, schedule, stage);
    if (schedule.stages[stage].restore_best) {  // whose best so far is in the checkpoint too
      whole += active_bytes(plan_of(setup, parameters, schedule.stages[stage])) +
               static_cast<double>(bytes_of_tensors(setup.model->buffers()));
    }
    bytes += whole / ranks + (ranks > 1 ? largest : 0);
  }
  return bytes + static_cast<double>(retention_bytes(setup));
}

}  // namespace thaw
