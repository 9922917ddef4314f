#include "dist/forecast/run_forecast.h"

#include <algorithm>
#include <functional>
#include <map>
#include <numeric>
#include <stdexcept>

#include "core/schedule/end_condition.h"
#include "core/schedule/stage_length.h"

namespace thaw {

namespace {

/// So many steps of so many samples.
struct StepGroup {
  std::int64_t steps = 0;
  std::int64_t samples = 0;
};

/// The `steps` steps from `cursor` on by their size. A batch never crosses the end of an epoch: one
/// that is left with less ends it, where the stage began in its first epoch or in a later one.
std::vector<StepGroup> step_sizes(std::int64_t cursor, std::int64_t steps, std::int64_t samples,
                                  std::int64_t batch) {
  const std::int64_t end = advance_cursor(cursor, steps, samples, batch);
  const std::int64_t ended = end / samples - cursor / samples;  // epochs
  const std::int64_t first_rest = (samples - cursor % samples) % batch;
  std::vector<StepGroup> sizes;
  if (ended > 0 && first_rest > 0) sizes.push_back({1, first_rest});
  if (ended > 1 && samples % batch > 0) sizes.push_back({ended - 1, samples % batch});
  std::int64_t full = steps;
  for (const StepGroup& less : sizes) full -= less.steps;
  sizes.push_back({full, batch});
  return sizes;
}

}  // namespace

std::vector<StageCosts> with_kept_state(std::vector<StageCosts> costs) {
  std::map<std::string, std::int64_t> seen;  // bytes, by the parameter's name
  for (StageCosts& stage : costs) {
    // As it comes to be once each segment of a policy had its turn.
    for (const RestingParameter& its : stage.resting) seen[its.name] = its.bytes;
    std::map<std::string, std::int64_t> kept = seen;
    for (const GradientCosts& gradient : stage.gradients) {
      kept.erase(gradient.entry.name);
      seen[gradient.entry.name] = std::accumulate(
          gradient.entry.shape.begin(), gradient.entry.shape.end(),
          static_cast<std::int64_t>(size_of(gradient.entry.type)), std::multiplies<>());
    }
    std::int64_t bytes = 0;
    for (const auto& [name, its] : kept) bytes += its;
    stage.memory.kept_state =
        static_cast<std::int64_t>(stage.memory.state_per_byte * static_cast<double>(bytes));
  }
  return costs;
}

RunForecast forecast_run(const Schedule& schedule, const std::vector<StageCosts>& costs,
                         const ForecastJob& job, const Network& network,
                         std::int64_t train_samples) {
  if (costs.size() != schedule.stages.size()) {
    throw std::invalid_argument("a forecast takes the costs of each stage");
  }
  const std::vector<StageCosts> all = with_kept_state(costs);
  RunForecast run;
  std::int64_t cursor = 0;
  for (std::size_t i = 0; i < all.size(); ++i) {
    const EndCondition& until = schedule.stages[i].until;
    StageForecast& stage = run.stages.emplace_back();
    stage.stage = schedule.stages[i].name;
    stage.step = forecast_step(all[i], job, network);
    stage.may_be_fewer = !length_is_known(until);
    stage.steps = steps_of_stage(until, cursor, train_samples, job.batch).value_or(0);
    for (const StepGroup& sized : step_sizes(cursor, stage.steps, train_samples, job.batch)) {
      ForecastJob its = job;
      its.batch = sized.samples;
      const double seconds = sized.samples == job.batch
                                 ? stage.step.seconds
                                 : forecast_step(all[i], its, network).seconds;
      stage.seconds += static_cast<double>(sized.steps) * seconds;
    }
    cursor = advance_cursor(cursor, stage.steps, train_samples, job.batch);
    run.seconds += stage.seconds;
    run.memory_bytes = std::max(run.memory_bytes, stage.step.memory_bytes);
  }
  return run;
}

}  // namespace thaw
