#include "launch/simulate/costs_check.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "core/config/configuration.h"
#include "core/models/model.h"
#include "core/schedule/stage_plan.h"
#include "core/step/parameter_table.h"
#include "dist/forecast/costs_json.h"
#include "launch/price/cost_probe.h"
#include "launch/run/run_setup.h"
#include "launch/simulate/simulated_scaling.h"

namespace thaw {
namespace {

using Names = std::vector<std::string>;

template <class Items, class Member>
Names names_of(const Items& items, Member name) {
  Names names;
  for (const auto& each : items) names.push_back(each.*name);
  return names;
}

[[noreturn]] void refuse(const SimulationRequest& request, const std::string& why) {
  throw InputError(
      fmt::format("--costs {}: {}; measure anew, without --costs", request.costs, why));
}

/// Throws where a stage of the run does not train these gradients, by name and shape.
void check_gradients(const StageCosts& costs, const StagePlan& plan,
                     const SimulationRequest& request) {
  const auto refuse_one = [&](const std::string& what) {
    refuse(request, fmt::format("in stage \"{}\" {}", costs.stage, what));
  };
  const std::vector<ParameterFacts>& wanted = plan.parameters();
  for (std::size_t i = 0; i < std::max(wanted.size(), costs.gradients.size()); ++i) {
    if (i >= wanted.size()) {
      refuse_one(fmt::format("it has a gradient \"{}\", which {} does not train there",
                             costs.gradients[i].entry.name, request.configuration));
    }
    const ParameterFacts& parameter = wanted[i];
    if (i >= costs.gradients.size() || costs.gradients[i].entry.name != parameter.name) {
      refuse_one(fmt::format("it has {}, where {} trains \"{}\"",
                             i >= costs.gradients.size()
                                 ? std::string("no more gradients")
                                 : "\"" + costs.gradients[i].entry.name + "\"",
                             request.configuration, parameter.name));
    }
    const GradientCosts& found = costs.gradients[i];
    if (found.entry.shape != parameter.shape || found.entry.type != parameter.type) {
      refuse_one(fmt::format("\"{}\" is [{}] of {}, and [{}] of {} in {}", parameter.name,
                             fmt::join(found.entry.shape, ", "), name_of(found.entry.type),
                             fmt::join(parameter.shape, ", "), name_of(parameter.type),
                             request.configuration));
    }
    if (found.group != parameter.place.value_or(parameter.group)) {
      refuse_one(fmt::format("\"{}\" lies in another group than in {}", parameter.name,
                             request.configuration));
    }
  }
}

}  // namespace

void check_costs(const CostsFile& file, const SimulationRequest& request, const RunSetup& setup,
                 const Schedule& schedule) {
  const std::string& its = request.configuration;
  const TrainOptions& train = setup.configuration().train;
  const Names stages = names_of(schedule.stages, &Stage::name);
  const Names measured = names_of(file.stages, &StageCosts::stage);
  if (measured != stages) {
    refuse(request, fmt::format("holds the stages {}, and {} has {}", fmt::join(measured, ", "),
                                its, fmt::join(stages, ", ")));
  }
  if (const auto precision = name_of(train.precision); file.precision != precision) {
    refuse(request,
           fmt::format("was measured in {}, and {} trains in {}", file.precision, its, precision));
  }
  if (train.threads > 0 && file.threads != train.threads) {
    refuse(request, fmt::format("was measured on {} thread{}, and train.threads is {}",
                                file.threads, file.threads == 1 ? "" : "s", train.threads));
  }
  const Names groups = names_of(setup.model->groups(), &ParameterGroup::name);
  const ParameterTable parameters(*setup.model, train.decay_norms_and_biases);
  for (std::size_t s = 0; s < schedule.stages.size(); ++s) {
    const StageCosts& costs = file.stages[s];
    if (const Names found = names_of(costs.groups, &GroupCosts::name); found != groups) {
      refuse(request, fmt::format("is of a model of the groups {}, and that of {} has {}",
                                  fmt::join(found, ", "), its, fmt::join(groups, ", ")));
    }
    const Stage stage = probed_stage(schedule.stages[s]);
    check_gradients(costs, make_stage_plan(parameters.groups(), parameters.facts(), stage, train),
                    request);
  }
}

}  // namespace thaw
