// In which stages a run saves before they end: arithmetic over steps.
#include "launch/check/checkpoints_within.h"

#include <gtest/gtest.h>

#include "core/schedule/schedule.h"

namespace thaw {
namespace {

std::vector<bool> within(const std::vector<EndCondition>& ends, std::int64_t every) {
  Schedule schedule;
  for (const EndCondition& end : ends) {
    schedule.stages.emplace_back().until = end;
  }
  return checkpoints_within(schedule, {.every = every, .train_samples = 100, .batch = 8});
}

std::vector<EndCondition> lengths(const std::vector<std::int64_t>& steps) {
  std::vector<EndCondition> ends;
  for (const std::int64_t each : steps) ends.push_back(after_steps(each));
  return ends;
}

using Stages = std::vector<bool>;

TEST(CheckpointsWithin, AreAtTheRunsOwnSteps) {
  EXPECT_EQ(within(lengths({7, 7, 7}), 10), (Stages{false, true, true}));
  EXPECT_EQ(within(lengths({3, 3, 3}), 500), (Stages{false, false, false}));
  EXPECT_EQ(within(lengths({300, 300}), 500), (Stages{false, true}));
  // An epoch is 13 steps, the last of them short.
  EXPECT_EQ(within({after_epochs(1), after_epochs(1)}, 20), (Stages{false, true}));
}

TEST(CheckpointsWithin, TheLastStepsIsTheTransitions) {
  EXPECT_EQ(within(lengths({10, 10}), 10), (Stages{false, false}));
  EXPECT_EQ(within(lengths({11, 9}), 10), (Stages{true, false}));
}

TEST(CheckpointsWithin, NoneWhereStepsMakeNone) {
  EXPECT_EQ(within(lengths({7, 7}), 0), (Stages{false, false}));
  EXPECT_EQ(within(lengths({7, 7}), -1), (Stages{false, false}));
}

TEST(CheckpointsWithin, MayBeAnywhereOnceNobodyKnowsTheLength) {
  const std::vector<EndCondition> ends = {after_steps(3), after_seconds(60), after_steps(2),
                                          after_steps(1)};
  EXPECT_EQ(within(ends, 500), (Stages{false, true, true, false}));
}

}  // namespace
}  // namespace thaw
