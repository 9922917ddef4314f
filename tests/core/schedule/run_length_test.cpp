#include "core/schedule/run_length.h"

#include <gtest/gtest.h>

#include "core/schedule/schedule_run.h"
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
    }
    run.end_stage();
  }
  for (const std::int64_t total : totals) EXPECT_EQ(total, step);
}

}  // namespace
}  // namespace thaw
