#include "core/schedule/run_length.h"

#include <gtest/gtest.h>

#include <numeric>

#include "core/schedule/schedule_run.h"
#include "core/schedule/stage_plan.h"
#include "tests/core/schedule/schedule_fixture.h"

namespace thaw {
namespace {

Stage stage_of(EndCondition until) {
  Stage stage;
  stage.name = "stage";
  stage.groups = {"head"};
  stage.learning_rates = {1e-3};
  stage.until = std::move(until);
  return stage;
}

TEST(RunLength, IsWhatIsLeftAtEachStep) {
  const Schedule schedule{{stage_of(after_epochs(1)), stage_of(after_epochs(1.5))}};
  constexpr std::int64_t kSamples = 37, kBatch = 8;
  ScheduleRun run(schedule, kSamples, kBatch);
  std::int64_t cursor = 0, step = 0;
  std::vector<std::int64_t> totals;
  while (run.begin_stage(cursor)) {
    while (!run.ended()) {
      const std::int64_t size = std::min(kBatch, kSamples - cursor % kSamples);
      run.commit_step({.samples = size});
      cursor += size;
      ++step;
      const auto left = run_length_left(schedule, run.state(), cursor, kSamples, kBatch);
      ASSERT_TRUE(left.has_value());
      EXPECT_FALSE(left->may_be_fewer);
      totals.push_back(step + left->steps_left);
      EXPECT_EQ(std::accumulate(left->by_stage.begin(), left->by_stage.end(), std::int64_t{0}),
                left->steps_left);
    }
    run.end_stage();
  }
  for (const std::int64_t total : totals) EXPECT_EQ(total, step);
}

TEST(StepEffort, CountsWhatBackwardAdds) {
  const std::vector<std::string> groups = {"stem", "middle", "head"};
  const std::vector<ParameterFacts> parameters = {{"stem.weight", {2}, ElementType::kFloat32, 0},
                                                  {"middle.weight", {2}, ElementType::kFloat32, 1},
                                                  {"head.weight", {2}, ElementType::kFloat32, 2}};
  const std::vector<double> seconds = {4, 2, 1};
  const auto effort = [&](const std::vector<std::string>& active) {
    Stage stage = stage_of(after_epochs(1));
    stage.groups = active;
    stage.learning_rates.assign(active.size(), 1e-3);
    return step_effort(make_stage_plan(groups, parameters, stage), seconds);
  };
  EXPECT_DOUBLE_EQ(effort({"head"}), 4 + 2 + 3 * 1);
  EXPECT_DOUBLE_EQ(effort({"middle", "head"}), 4 + 3 * 2 + 3 * 1);
  EXPECT_DOUBLE_EQ(effort({"stem", "head"}), 3 * 4 + 2 * 2 + 3 * 1);
}

TEST(StepsWorth, CountsStepsToComeByWhatTheyTake) {
  RunLength left;
  left.by_stage = {10, 20};
  // Of three stages, the second runs.
  EXPECT_DOUBLE_EQ(steps_worth(left, std::vector<double>{1, 2, 5}, 2), 10 + 20 * 2.5);
  // A policy has chosen groups that take less than all.
  EXPECT_DOUBLE_EQ(steps_worth(left, std::vector<double>{1, 2, 5}, 1), 10 + 20 * 5);
  EXPECT_DOUBLE_EQ(steps_worth(RunLength(), std::vector<double>{1, 2, 5}, 2), 0);
}

}  // namespace
}  // namespace thaw
