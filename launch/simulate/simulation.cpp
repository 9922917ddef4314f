#include "launch/simulate/simulation.h"

#include <algorithm>

#include "dist/forecast/run_forecast.h"

namespace thaw {
namespace {

StageAdvice advice_of(const ScalingQuestion& question, const std::vector<std::int64_t>& ranks) {
  StageAdvice advice;
  advice.stage = question.costs.stage;
  advice.limit = scaling_limit(question, ranks.back());
  const auto beyond = std::find_if(ranks.begin(), ranks.end(), [&](std::int64_t each) {
    return advice.limit.reached && each > advice.limit.ranks;
  });
  advice.ranks = beyond == ranks.end() ? ranks.back() : *beyond;
  advice.remedies = remedies(question, advice.ranks);
  return advice;
}

}  // namespace

std::vector<SimulatedTable> simulated_tables(const SimulationQuestion& question) {
  const std::vector<StageCosts> stages = with_kept_state(question.costs.stages);
  std::vector<SimulatedTable> tables;
  for (const Scaling scaling : question.scalings) {
    SimulatedTable table;
    table.scaling = scaling;
    for (const StageCosts& costs : stages) {
      const ScalingQuestion stage{costs, question.job, scaling == Scaling::kWeak, question.network};
      for (const std::int64_t ranks : question.ranks) {
        table.points.push_back(simulated_point(stage, ranks));
      }
      table.advice.push_back(advice_of(stage, question.ranks));
    }
    tables.push_back(std::move(table));
  }
  return tables;
}

}  // namespace thaw
