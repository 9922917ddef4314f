// What steps of a rehearsal say of a run's: loads, ways that take turns, stages that were not run.
#include "launch/price/step_fit.h"

#include <gtest/gtest.h>

#include <utility>

#include "launch/price/distinct_stages.h"

namespace thaw {
namespace {

/// A step whose forward takes 1 ms a unit of load and backward 2, with 5 ms of optimizer.
RehearsedStep step(double load, double exposed = 0) {
  RehearsedStep made{.samples = 8,
                     .load = load,
                     .seconds = 3e-3 * load + 5e-3 + exposed + 1e-3,
                     .forward = 1e-3 * load,
                     .backward = 2e-3 * load,
                     .optimizer = 5e-3,
                     .exposed = exposed};
  return made;
}

/// After steps that do not count, which take a second.
RehearsedStage stage(const std::vector<RehearsedStep>& steps) {
  RehearsedStage made;
  for (std::int64_t i = 0; i < kRehearsalWarmUp; ++i) {
    RehearsedStep slow = step(1);
    slow.seconds += 1;
    made.steps.push_back(slow);
  }
  made.steps.insert(made.steps.end(), steps.begin(), steps.end());
  return made;
}

TEST(StepFit, FollowsTheLoadAndAddsUp) {
  const StepFit fit = fit_of(stage({step(10), step(14), step(12)}), nullptr, false);
  for (const double load : {6.0, 12.0, 20.0}) {
    const StepPrice parts = fit.at(load);
    EXPECT_NEAR(parts.forward, 1e-3 * load, 1e-9);
    EXPECT_NEAR(parts.backward, 2e-3 * load, 1e-9);
    EXPECT_NEAR(parts.optimizer, 5e-3, 1e-9);
    EXPECT_NEAR(parts.other, 1e-3, 1e-9);
    EXPECT_NEAR(parts.seconds(), 3e-3 * load + 6e-3, 1e-9);
  }
  EXPECT_EQ(fit.largest_load, 14);
}

TEST(StepFit, ASecondSizeTellsWhatDoesNotFollowTheLoad) {
  const auto with_calls = [](double load) {
    RehearsedStep made = step(load);
    made.forward += 4e-3;
    made.seconds += 4e-3;
    return made;
  };
  const RehearsedStage smaller = stage({with_calls(5), with_calls(5)});
  const StepFit fit = fit_of(stage({with_calls(10), with_calls(10)}), &smaller, false);
  EXPECT_NEAR(fit.at(40).forward, 4e-3 + 40e-3, 1e-9);
  EXPECT_NEAR(fit.at(40).seconds(), 4e-3 + 120e-3 + 6e-3, 1e-9);
}

TEST(StepFit, OfTwoWaysThatTakeTurnsTheFasterIsKept) {
  const RehearsedStage turns =
      stage({step(10, 0), step(10, 9e-3), step(10, 0), step(10, 9e-3), step(10, 0)});
  EXPECT_NEAR(fit_of(turns, nullptr, true).at(10).exposed, 0, 1e-9);
  const RehearsedStage others =
      stage({step(10, 9e-3), step(10, 2e-3), step(10, 9e-3), step(10, 2e-3)});
  EXPECT_NEAR(fit_of(others, nullptr, true).at(10).exposed, 2e-3, 1e-9);
  EXPECT_NEAR(fit_of(others, nullptr, false).at(10).exposed, 5.5e-3, 1e-9);
}

TEST(StepFit, WaysThatAreAsFastAreBothKept) {
  const RehearsedStage turns =
      stage({step(10, 1e-3), step(10, 0), step(10, 1e-3), step(10, 0), step(10, 0)});
  const RehearsedStage luck = stage({step(10, 5e-4), step(10, 0), step(10, 5e-4), step(10, 0)});
  // 36 ms and 36.5: not half a millisecond of luck less.
  EXPECT_NEAR(fit_of(luck, nullptr, true).at(10).seconds(), 36.25e-3, 1e-9);
  EXPECT_NEAR(fit_of(turns, nullptr, true).at(10).seconds(), 36e-3, 1e-9);
}

TEST(StepFit, FirstStepsOfAStageAreCountedAsTheyAre) {
  const StepFit fit = fit_of(stage({step(10), step(10), step(10), step(10)}), nullptr, false);
  EXPECT_NEAR(fit.seconds_of(100, 10, 1), 100 * 36e-3 + kRehearsalWarmUp, 1e-6);
  EXPECT_NEAR(fit.seconds_of(1, 10, 1), 36e-3 + 1, 1e-6);  // a stage of one step is a slow one
  EXPECT_EQ(fit.seconds_of(0, 10, 1), 0);
  EXPECT_NEAR(fit.seconds_of(100, 10, 1.5), 150 * 36e-3 + kRehearsalWarmUp, 1e-6);
}

TEST(StepFit, TheSlowerWayIsTriedInEachStage) {
  const StepFit fit =
      fit_of(stage({step(10, 0), step(10, 9e-3), step(10, 0), step(10, 9e-3)}), nullptr, true);
  EXPECT_NEAR(fit.seconds_of(100, 10, 1), 100 * 36e-3 + 2 * 9e-3 + kRehearsalWarmUp, 1e-6);
}

TEST(MeanOverTypical, HasWhatAMedianLeavesOut) {
  RehearsedStep held_up = step(10);
  held_up.seconds += 36e-3;
  const RehearsedStage some =
      stage({step(10), step(10), held_up, step(10), step(10), step(10), step(10), step(10)});
  EXPECT_NEAR(mean_over_typical({some, some}, false), 9.0 / 8, 1e-9);
  RehearsedStage apart = stage({step(10), step(10), step(10), step(10)});
  for (RehearsedStep& each : apart.steps) each.gap = 3.6e-3;
  EXPECT_NEAR(mean_over_typical({apart}, false), 1.1, 1e-9);
  EXPECT_EQ(mean_over_typical({stage({step(10)})}, false), 1);  // of too few nothing is said
  EXPECT_EQ(mean_over_typical({}, false), 1);
}

TEST(StepFit, WhereNoStepCountsTheLastOneDoes) {
  RehearsedStage brief;
  brief.steps = {step(10, 1), step(20, 0)};
  EXPECT_NEAR(fit_of(brief, nullptr, true).at(20).seconds(), 66e-3, 1e-9);
}

TEST(StepFit, StagesThatWereNotRunLieBetween) {
  StepFit shallow = fit_of(stage({step(10)}), nullptr, false);
  StepFit deep = fit_of(stage({step(10)}), nullptr, false);
  deep.backward.per_sample *= 3;
  shallow.first_steps = {1, 1};
  deep.first_steps = {3};
  deep.groups_seconds = 2;
  shallow.peak_bytes = 100;
  deep.peak_bytes = 300;
  const std::vector<PlacedFit> known = {{1, shallow}, {5, deep}};
  EXPECT_NEAR(fit_at(known, 3).at(10).backward, 40e-3, 1e-9);
  EXPECT_NEAR(fit_at(known, 1).at(10).backward, 20e-3, 1e-9);
  EXPECT_NEAR(fit_at(known, 9).at(10).backward, 60e-3, 1e-9);
  EXPECT_NEAR(fit_at(known, 0).at(10).backward, 20e-3, 1e-9);
  EXPECT_EQ(fit_at(known, 2).peak_bytes, 175) << "an eighth further than the chord";
  EXPECT_EQ(fit_at(known, 4.9).peak_bytes, 300) << "and no further than the deeper one";
  EXPECT_EQ(fit_at(known, 3).first_steps, (std::vector<double>{2, 0.5}));
  EXPECT_EQ(fit_at(known, 3).groups_seconds, 1);
}

// Parameters may lie at one end of the network, and what layers keep at the other: only the latter
// follows the depth.
TEST(StepFit, WhatIsHeldIsNoPartOfWhatLiesAhead) {
  StepFit shallow, deep;
  shallow.peak_bytes = 100;
  shallow.held_bytes = 80;
  deep.peak_bytes = 300;
  deep.held_bytes = 90;
  const StepFit between = fit_between(shallow, deep, 0.5);
  EXPECT_EQ(between.held_bytes, 85);
  EXPECT_EQ(between.peak_bytes - between.held_bytes, 20 + 0.625 * 190);
  std::swap(shallow.held_bytes, deep.held_bytes);
  deep.peak_bytes = 85;  // less is kept: it takes no less for that
  EXPECT_EQ(fit_between(shallow, deep, 0.5).peak_bytes, 85 + 10);
}

TEST(StepFit, MemoryIsOfTheStepsThatItWasMeasuredIn) {
  RehearsedStage measured = stage({step(10), step(14)});
  measured.peak_load = 12;
  EXPECT_EQ(fit_of(measured, nullptr, false).largest_load, 12);
}

}  // namespace
}  // namespace thaw
