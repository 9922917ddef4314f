#include "launch/terminal/progress.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <sstream>
#include <thread>

#include "core/train/training_state.h"
#include "launch/terminal/text_width.h"

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

TEST(Progress, TablesOfTheEndFit80Columns) {
  StageSummary long_one = stage("a-stage-of-a-long-name-as-presets-write", 123'456, false);
  long_one.seconds = 36'000;
  long_one.active_parameters = 1'234'567'890;
  long_one.bytes_reduced_per_step = 123'456'789;
  long_one.peak_memory_bytes = 123'456'789'012;
  long_one.transition_seconds = 1.2345;
  std::istringstream shown(shown_at_the_end({long_one}));
  for (std::string line; std::getline(shown, line);) {
    EXPECT_LE(columns_of(line), 80U) << line;
  }
}

TEST(Progress, SaysWhatItIsAtAndTheValidationLoss) {
  testing::internal::CaptureStderr();
  testing::internal::CaptureStdout();
  {
    Progress progress(ProgressStyle::kLine);
    StepReport step;
    step.stage = "head";
    step.step = 7;
    step.run_steps = 20;
    step.loss = 0.5;
    step.seconds = 0.1;
    progress.step(step);
    ActivityReport activity;
    activity.activity = "evaluating";
    progress.activity(activity);
    EvaluationReport evaluation;
    evaluation.split = "validation";
    evaluation.loss = 0.75;
    evaluation.figures = {{"accuracy", 0.5}};
    progress.evaluation(evaluation);
    activity.activity = "saving";
    progress.activity(activity);
  }
  testing::internal::GetCapturedStdout();
  const std::string shown = testing::internal::GetCapturedStderr();
  EXPECT_THAT(shown, testing::HasSubstr("step 7/20  evaluating"));
  EXPECT_THAT(shown, testing::HasSubstr("saving"));
  EXPECT_THAT(shown, testing::ContainsRegex("val(idation)? 0.7500"));
  EXPECT_THAT(shown, testing::Not(testing::HasSubstr("\n")));
}

StepReport step_of(std::int64_t number, std::int64_t samples, double seconds) {
  StepReport step;
  step.stage = "head";
  step.step = number;
  step.samples = samples;
  step.seconds = seconds;
  return step;
}

TEST(Progress, SaysTheValidationLossFromTheFirstStepAfterAResume) {
  testing::internal::CaptureStderr();
  testing::internal::CaptureStdout();
  {
    Progress progress(ProgressStyle::kLine);
    ResumeReport resume;
    resume.validation_loss = 0.875;
    progress.resume(resume);
    progress.step(step_of(8, 10, 0.1));
  }
  testing::internal::GetCapturedStdout();
  EXPECT_THAT(testing::internal::GetCapturedStderr(),
              testing::ContainsRegex("step 8 .*val(idation)? 0.8750"));
}

TEST(Progress, TimeLeftOfTheRunCountsStepsByWhatTheyTake) {
  testing::internal::CaptureStderr();
  {
    Progress progress(ProgressStyle::kLine);
    StepReport step = step_of(1, 10, 3600);  // an hour, before the first of this process
    step.run_steps = 11;
    progress.step(step);
    std::this_thread::sleep_for(std::chrono::milliseconds(150));
    step.step = 2;
    step.steps_worth_left = 18;
    progress.step(step);
  }
  const std::string shown = testing::internal::GetCapturedStderr();
  EXPECT_THAT(shown, testing::ContainsRegex("step 1/11 .*run 10:00:00"));
  // Two steps in an hour: 18 steps of this kind in nine, and not the nine that there are in 4.5.
  EXPECT_THAT(shown, testing::ContainsRegex("step 2/11 .*run 9:0"));
}

TEST(Progress, SpeedIsThatOfAllStepsSinceOneWasShown) {
  testing::internal::CaptureStderr();
  {
    Progress progress(ProgressStyle::kLine);
    progress.step(step_of(1, 10, 0.1));  // the first of a stage is shown at once
    progress.step(step_of(2, 10, 0.5));
    std::this_thread::sleep_for(std::chrono::milliseconds(150));
    progress.step(step_of(3, 40, 0.5));
  }
  const std::string shown = testing::internal::GetCapturedStderr();
  EXPECT_THAT(shown, testing::ContainsRegex("step 1 .* 100 samples/s"));
  // A machine that stands still after the first has the second shown too.
  const bool stood_still = shown.find("step 2 ") != std::string::npos;
  EXPECT_THAT(shown, testing::ContainsRegex(stood_still ? "step 3 .* 80 samples/s"
                                                        : "step 3 .* 50 samples/s"));
}

}  // namespace
}  // namespace thaw
