#include "core/schedule/stage_length.h"

#include <gtest/gtest.h>

#include "tests/core/schedule/schedule_fixture.h"

namespace thaw {
namespace {

EndCondition epochs(double amount) { return after_epochs(amount); }
EndCondition steps(std::int64_t amount) { return after_steps(amount); }
EndCondition samples(std::int64_t amount) {
  return until_of("{ samples = " + std::to_string(amount) + " }");
}

TEST(StageLength, HandComputed) {
  // 10 samples in batches of 4: 4, 4, 2.
  EXPECT_EQ(steps_of_stage(epochs(1), 0, 10, 4), 3);
  EXPECT_EQ(steps_of_stage(epochs(2), 0, 10, 4), 6);
  EXPECT_EQ(steps_of_stage(epochs(0.5), 0, 10, 4), 2);
  // From cursor 4: 4, 2 | 4 make 10 samples.
  EXPECT_EQ(steps_of_stage(epochs(1), 4, 10, 4), 3);
  // From cursor 7: 3 | 4, 4 make 11, the first to reach 10.
  EXPECT_EQ(steps_of_stage(epochs(1), 7, 10, 4), 3);
  EXPECT_EQ(steps_of_stage(epochs(1), 0, 10, 64), 1);
  EXPECT_EQ(steps_of_stage(steps(17), 3, 10, 4), 17);
  EXPECT_EQ(steps_of_stage(samples(10), 0, 10, 4), 3);
  EXPECT_EQ(steps_of_stage(samples(8), 4, 10, 4), 3) << "4, 2 | 4";
  EXPECT_TRUE(length_is_known(samples(10)));
  EXPECT_EQ(steps_of_stage(any({epochs(2), steps(5)}), 0, 10, 4), 5);
  EXPECT_EQ(steps_of_stage(any({epochs(1), steps(5)}), 0, 10, 4), 3);
  EXPECT_EQ(steps_of_stage(all({epochs(2), steps(5)}), 0, 10, 4), 6);
  EXPECT_EQ(steps_of_stage(all({any({epochs(9), steps(2)}), steps(5)}), 0, 10, 4), 5);
  EXPECT_EQ(samples_of_epochs(1 / 3.0, 9), 3);
}

TEST(StageLength, OfWhatEndsByMetricsIsBoundedByTheLengthsBesideThem) {
  const EndCondition plateau = until_of("{ plateau = {} }");
  EXPECT_EQ(steps_of_stage(plateau, 0, 10, 4), std::nullopt);
  EXPECT_EQ(steps_of_stage(any({plateau, steps(5)}), 0, 10, 4), 5);
  EXPECT_EQ(steps_of_stage(all({plateau, steps(5)}), 0, 10, 4), std::nullopt);
  EXPECT_EQ(steps_of_stage(any({all({plateau, steps(5)}), epochs(3)}), 0, 10, 4), 9);
  EXPECT_FALSE(length_is_known(any({plateau, steps(5)})));
  EXPECT_TRUE(length_is_known(any({epochs(1), steps(5)})));
}

TEST(StageLength, LongRunsInConstantTime) {
  EXPECT_EQ(steps_of_stage(epochs(1e6), 0, 1000000000, 3), 1000000LL * 333333334);
  EXPECT_EQ(advance_cursor(0, 1000000LL * 333333334, 1000000000, 3), 1000000LL * 1000000000);
}

/// What a trainer does: batch after batch until the stage says that it is over.
struct Walk {
  std::int64_t steps = 0;
  std::int64_t cursor = 0;
};
Walk walk(const EndCondition& until, std::int64_t start, std::int64_t samples, std::int64_t batch) {
  ScheduleState state;
  state.triggers = fresh_triggers(until);
  StageProgress& progress = state.progress;
  while (!stage_ended(until, state, samples)) {
    const std::int64_t cursor = start + progress.samples;
    const std::int64_t end_of_epoch = (cursor / samples + 1) * samples;
    progress.samples += std::min(cursor + batch, end_of_epoch) - cursor;
    ++progress.steps;
  }
  return {progress.steps, start + progress.samples};
}

TEST(StageLength, EqualsABatchByBatchWalk) {
  const std::vector<EndCondition> conditions = {epochs(0.01),
                                                epochs(1 / 3.0),
                                                epochs(0.5),
                                                epochs(1),
                                                epochs(1.4),
                                                epochs(2),
                                                epochs(3.99),
                                                samples(1),
                                                samples(7),
                                                any({samples(30), epochs(1.4)}),
                                                steps(1),
                                                steps(2),
                                                steps(9),
                                                any({epochs(1), steps(4)}),
                                                all({epochs(1), steps(4)}),
                                                any({steps(7), all({epochs(0.7), steps(2)})})};
  for (std::int64_t samples = 1; samples <= 13; ++samples) {
    for (std::int64_t batch = 1; batch <= 15; ++batch) {
      for (std::int64_t start = 0; start <= 2 * samples + 1; ++start) {
        for (const EndCondition& until : conditions) {
          const Walk walked = walk(until, start, samples, batch);
          ASSERT_EQ(steps_of_stage(until, start, samples, batch), walked.steps)
              << samples << ' ' << batch << ' ' << start;
          ASSERT_EQ(advance_cursor(start, walked.steps, samples, batch), walked.cursor)
              << samples << ' ' << batch << ' ' << start;
        }
      }
    }
  }
}

TEST(StageEnded, NeedsAStepEvenWhereTheConditionRoundsToNothing) {
  ScheduleState state;
  state.triggers = fresh_triggers(epochs(0.01));
  EXPECT_FALSE(stage_ended(epochs(0.01), state, 10));
  state.progress = {1, 4};
  EXPECT_TRUE(stage_ended(epochs(0.01), state, 10));
}

}  // namespace
}  // namespace thaw
