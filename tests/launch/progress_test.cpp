#include "launch/terminal/progress.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/train/training_state.h"

namespace thaw {
namespace {

StageSummary stage(const std::string& name, std::int64_t steps, bool goes_on) {
  StageSummary summary;
  summary.name = name;
  summary.goes_on = goes_on;
  summary.steps = steps;
  return summary;
}

std::string shown_at_the_end(const std::vector<StageSummary>& stages) {
  RunSummary summary;
  summary.stages = stages;
  testing::internal::CaptureStdout();
  Progress(ProgressStyle::kLog).end(summary);
  return testing::internal::GetCapturedStdout();
}

TEST(Progress, ShowsAPolicysSegmentsAsOneStageAfterAResumeToo) {
  TrainingState state;
  state.stages = {stage("top", 5, false), stage("drawn/0", 20, false), stage("drawn/1", 20, true),
                  stage("drawn/2", 7, true), stage("last", 3, false)};
  const std::string shown = shown_at_the_end(state.stages);
  EXPECT_THAT(shown, testing::ContainsRegex("\n  drawn +47 "));
  EXPECT_THAT(shown, testing::Not(testing::HasSubstr("drawn/")));
  const TrainingState resumed = training_state_from_json(to_json(state), "state.json");
  EXPECT_EQ(shown_at_the_end(resumed.stages), shown);
}

}  // namespace
}  // namespace thaw
