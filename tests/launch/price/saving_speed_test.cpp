// What of a stage's saving training waits for.
#include "launch/price/saving_speed.h"

#include <gtest/gtest.h>

namespace thaw {
namespace {

constexpr SavingSpeed kSpeed{.write = 10, .processor = 2, .copy = 1};

TEST(SavingSeconds, TheDiskIsWaitedForByWeightsAndAtTheEnd) {
  StageSaving stage{.weights = 3, .state = 5, .best = 4, .checkpoints = 0};
  EXPECT_EQ(saving_seconds(stage, kSpeed), 4 * 3 * 10);
  stage.last = true;
  EXPECT_EQ(saving_seconds(stage, kSpeed), 4 * 3 * 10 + 3 * 10);
  stage.checkpoints = 3;
  EXPECT_EQ(saving_seconds(stage, kSpeed), 4 * 3 * 10 + 3 * 10 + 8 * (10 + 3 * 1 + 2 * 2));
}

TEST(SavingSeconds, CheckpointsTakeACoreWhereNoneIsIdle) {
  StageSaving stage{.weights = 3, .state = 5, .checkpoints = 2, .ranks = 2};
  EXPECT_EQ(saving_seconds(stage, kSpeed), 8 * 2 * (1 + 2) / 2);
  stage.all_compute = false;
  EXPECT_EQ(saving_seconds(stage, kSpeed), 8 * 2 * 1 / 2);
  stage.asynchronous = false;
  EXPECT_EQ(saving_seconds(stage, kSpeed), 8 * (2 * 10 + 2 * 1 / 2));
}

TEST(SavingSpeed, IsMeasuredWhereARunWouldBeKept) {
  const auto speed = measure_saving(testing::TempDir() + "no such run/yet");
  ASSERT_TRUE(speed);
  EXPECT_GT(speed->write, 0);
  EXPECT_GT(speed->processor, 0);
  EXPECT_GT(speed->copy, 0);
  EXPECT_LE(speed->processor, 2 * speed->write);
}

}  // namespace
}  // namespace thaw
