#include "dist/forecast/run_forecast.h"

#include <gtest/gtest.h>

#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "tests/dist/forecast/forecast_costs.h"

namespace thaw {
namespace {

/// A hundredth of a second a sample, and nothing else.
StageCosts by_samples(const std::string& stage) {
  StageCosts costs;
  costs.stage = stage;
  costs.groups = {{"all", {0, 0.01}, {0, 0}}};
  return costs;
}

Schedule stages(std::vector<EndCondition> ends) {
  Schedule schedule;
  for (EndCondition& until : ends) {
    Stage& stage = schedule.stages.emplace_back();
    stage.name = "s" + std::to_string(schedule.stages.size() - 1);
    stage.groups = {"all"};
    stage.learning_rates = {0.1};
    stage.until = std::move(until);
  }
  return schedule;
}

ForecastJob alone() {
  ForecastJob job;
  job.batch = 30;
  return job;
}

RunForecast forecast(std::vector<EndCondition> ends) {
  const Schedule schedule = stages(std::move(ends));
  std::vector<StageCosts> costs;
  for (const Stage& stage : schedule.stages) costs.push_back(by_samples(stage.name));
  return forecast_run(schedule, costs, alone(), slow_network(), 100);
}

TEST(RunForecast, EpochsEndWithShortSteps) {
  const RunForecast run = forecast({after_epochs(2), after_steps(3)});
  ASSERT_EQ(run.stages.size(), 2U);
  EXPECT_EQ(run.stages[0].steps, 8);  // 30, 30, 30, 10, twice
  EXPECT_NEAR(run.stages[0].seconds, 2.0, 1e-9);
  EXPECT_EQ(run.stages[1].steps, 3);
  EXPECT_NEAR(run.stages[1].seconds, 0.9, 1e-9);
  EXPECT_NEAR(run.stages[1].step.seconds, 0.3, 1e-9);
  EXPECT_NEAR(run.seconds, 2.9, 1e-9);
  EXPECT_FALSE(run.stages[0].may_be_fewer);
}

TEST(RunForecast, AStageMayBeginWithinAnEpoch) {
  const RunForecast run = forecast({after_steps(1), after_epochs(1)});
  EXPECT_EQ(run.stages[1].steps, 4);  // 30, 30, 10; 30
  EXPECT_NEAR(run.stages[1].seconds, 1.0, 1e-9);
}

TEST(RunForecast, BatchesThatDivideHaveNoShortSteps) {
  const Schedule schedule = stages({after_epochs(3)});
  ForecastJob job = alone();
  job.batch = 25;
  const RunForecast run =
      forecast_run(schedule, {by_samples("s0")}, job, slow_network(), /*train_samples=*/100);
  EXPECT_EQ(run.stages[0].steps, 12);
  EXPECT_NEAR(run.seconds, 3.0, 1e-9);
}

TEST(RunForecast, WantsTheCostsOfEachStage) {
  EXPECT_THROW(forecast_run(stages({after_steps(1)}), {}, alone(), slow_network(), 100),
               std::invalid_argument);
}

TEST(RunForecast, StateOfWhatFroseIsKept) {
  StageCosts first = two_groups(), second = two_groups();
  second.gradients.erase(second.gradients.begin() + 1);
  const std::vector<StageCosts> kept = with_kept_state({first, second, first});
  EXPECT_EQ(kept[0].memory.kept_state, 0);
  EXPECT_EQ(kept[1].memory.kept_state, 2 * (1 << 20));
  EXPECT_EQ(kept[2].memory.kept_state, 0);
  EXPECT_EQ(with_kept_state(kept)[1].memory.kept_state, 2 * (1 << 20));
}

TEST(RunForecast, StateOfWhatRestsIsKept) {
  StageCosts drawn = two_groups(), after = two_groups();
  drawn.gradients.pop_back();
  drawn.resting = {{"high.weight", 1 << 20}};
  after.gradients.pop_back();
  const std::vector<StageCosts> kept = with_kept_state({drawn, after, two_groups()});
  EXPECT_EQ(kept[0].memory.kept_state, 2 * (1 << 20));
  EXPECT_EQ(kept[1].memory.kept_state, 2 * (1 << 20)) << "and goes on to be";
  EXPECT_EQ(kept[2].memory.kept_state, 0);
}

}  // namespace
}  // namespace thaw
