#include "launch/price/peak_memory.h"

#include <ATen/core/Tensor.h>

#include <algorithm>
#include <set>
#include <string>

#include "core/config/configuration.h"
#include "core/data/dataset.h"
#include "core/models/model_bytes.h"
#include "core/schedule/stage_plan.h"
#include "core/step/optimizers/registry.h"
#include "core/step/parameter_table.h"
#include "core/train/best/best_weights.h"
#include "launch/run/evaluation_setup.h"
#include "launch/run/run_setup.h"

namespace thaw {

// Note [Memory at most]
// What a rank takes was measured with the batches of the rehearsal; a run has larger ones. What was
// there before the first step stays, and what came on top of it, but for gradients and state, is
// taken to grow with the load (where two sizes were run: as they tell, and a quarter more):
// with that of the largest batch, which is found from the lengths of all samples, or, of a run so
// long that only some batches are looked at, of half as much again over the mean as any of those.
// Then there is what a rehearsal does not have: copies for checkpoints, and what is made ready for
// the next stage where the rehearsal had not the time to come to it. Memory that was freed stays
// resident, so a stage takes no less than those before it. A little is added for what allocators
// make of it all. So it is a bound, and mostly some per cent above what the run will say.

std::int64_t peak_memory(const PeakQuestion& question) {
  constexpr double kShare = 1.04;
  constexpr double kBytes = 16 << 20;
  const StepFit& fit = question.fit;
  const double over = 1.5 * std::max(0.0, question.load.largest - question.load.mean);
  const double largest = question.load.mean + over;
  const double more = std::max(0.0, largest - fit.largest_load);
  const double grows = std::max(0.0, fit.peak_bytes - question.resident - question.held);
  double slope = fit.largest_load > 0 ? grows / fit.largest_load : 0;
  if (question.smaller != nullptr) {
    const double grown = question.deepest->peak_bytes - question.smaller->peak_bytes;
    const double loads = question.deepest->largest_load - question.smaller->largest_load;
    if (grown > 0 && loads > 0) slope = 1.25 * grown / loads;
  }
  return static_cast<std::int64_t>(kShare * (fit.peak_bytes + slope * more + question.copies) +
                                   kBytes);
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

double held_bytes(const RunSetup& setup, const ParameterTable& parameters, const Schedule& schedule,
                  std::size_t stage) {
  // Ranks that share them out hold less: then nothing of what came on top is left out.
  if (setup.configuration().distributed.sharding != Sharding::kNone) return 0;
  return active_bytes(plan_of(setup, parameters, schedule.stages[stage])) +
         state_bytes(setup, parameters, schedule, stage);
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
    const double whole = weights + state_bytes(setup, parameters, schedule, stage);
    bytes += whole / ranks + (ranks > 1 ? largest : 0);
  }
  return bytes + static_cast<double>(retention_bytes(setup));
}

}  // namespace thaw
