#include "dist/forecast/scaling_forecast.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "tests/dist/forecast/forecast_costs.h"

namespace thaw {
namespace {

/// 64 samples, over a network of a hundred million bytes a second.
ScalingQuestion question(double bandwidth = 1e8) {
  ScalingQuestion question;
  question.costs = two_groups();
  question.job.batch = 64;
  question.job.overlap = Overlap::kOff;
  question.network = slow_network();
  question.network.between.bandwidth = bandwidth;
  return question;
}

const Remedy* find(const std::vector<Remedy>& remedies, const std::string& begin) {
  const auto found = std::find_if(remedies.begin(), remedies.end(), [&](const Remedy& each) {
    return each.setting.starts_with(begin);
  });
  return found == remedies.end() ? nullptr : &*found;
}

TEST(ScalingForecast, PointsAreStepsAtThatNumberOfRanks) {
  const SimulatedPoint point = simulated_point(question(), 4);
  EXPECT_EQ(point.batch, 64);
  // 16 samples a rank, and one and a half times the bytes.
  const double seconds = 16 * 0.045 + 1.5 * (1 << 20) / 1e8;
  EXPECT_NEAR(point.step.seconds, seconds, 1e-5);
  EXPECT_NEAR(point.samples_per_second, 64 / point.step.seconds, 1e-9);
  EXPECT_NEAR(point.efficiency, 64 * 0.045 / 4 / point.step.seconds, 1e-9);
  EXPECT_EQ(simulated_point(question(), 1).efficiency, 1);
}

TEST(ScalingForecast, AGrowingBatchKeepsTheShare) {
  ScalingQuestion weak = question();
  weak.weak = true;
  const SimulatedPoint point = simulated_point(weak, 4);
  EXPECT_EQ(point.batch, 256);
  EXPECT_NEAR(point.step.forward, 64 * 0.015, 1e-9);
}

TEST(ScalingForecast, StopsWhereTwiceTheRanksGainLittle) {
  // 2.88 s of computing at one rank; at two 1.44, and half a second of sums.
  const ScalingLimit limit = scaling_limit(question(1e6 * 2.097152), 4096);
  EXPECT_TRUE(limit.reached);
  EXPECT_EQ(limit.ranks, 1);
  EXPECT_NEAR(limit.next_gain, 2.88 / (1.44 + 0.5), 1e-3);
}

TEST(ScalingForecast, WithoutSendingItStopsWithTheSamples) {
  const ScalingLimit limit = scaling_limit(question(1e14), 4096);
  EXPECT_TRUE(limit.reached);
  EXPECT_EQ(limit.ranks, 64);
  EXPECT_NEAR(limit.next_gain, 1, 1e-3);
}

TEST(ScalingForecast, SaysWhereTheEndWasNotReached) {
  const ScalingLimit limit = scaling_limit(question(1e14), 16);
  EXPECT_FALSE(limit.reached);
  EXPECT_EQ(limit.ranks, 16);
}

TEST(ScalingForecast, HelpIsWhatTheReplayGivesForIt) {
  const ScalingQuestion slow = question(1e6);
  const std::vector<Remedy> found = remedies(slow, 8);
  EXPECT_TRUE(std::is_sorted(found.begin(), found.end(),
                             [](const Remedy& a, const Remedy& b) { return a.gain > b.gain; }));
  ScalingQuestion rounded = slow;
  rounded.job.wire = GradientWire::kBFloat16;
  const Remedy* wire = find(found, "distributed.wire");
  ASSERT_NE(wire, nullptr);
  EXPECT_NEAR(wire->gain,
              simulated_point(slow, 8).step.seconds / simulated_point(rounded, 8).step.seconds,
              1e-9);
  EXPECT_GT(wire->gain, 1.5);
  EXPECT_FALSE(wire->same_training);  // what is summed is rounded
  const Remedy* batch = find(found, "data.batch = 256, train.micro-batch = 8");
  ASSERT_NE(batch, nullptr);
  EXPECT_GT(batch->gain, 2);
  EXPECT_FALSE(batch->same_training);
  EXPECT_NE(find(found, "distributed.overlap = \"auto\""), nullptr);
  EXPECT_NE(find(found, "distributed.sharding = \"optimizer\""), nullptr);
  EXPECT_NE(find(found, "distributed.bucket-bytes = "), nullptr);
}

TEST(ScalingForecast, NoBatchIsLargerThanTheLargest) {
  for (const bool weak : {false, true}) {
    ScalingQuestion asked = question();
    asked.weak = weak;
    const std::int64_t largest = largest_batch(asked.job, weak, 8);
    EXPECT_LE(simulated_point(asked, 8).batch, largest);
    EXPECT_NE(find(remedies(asked, 8), "data.batch = " + std::to_string(largest) + ","), nullptr)
        << "the largest that is tried";
  }
}

TEST(ScalingForecast, NothingIsTriedThatIsSetOrRefused) {
  ScalingQuestion set = question();
  set.job.wire = GradientWire::kBFloat16;
  set.job.overlap = Overlap::kAuto;
  const std::vector<Remedy> found = remedies(set, 8);
  EXPECT_EQ(find(found, "distributed.wire"), nullptr);
  EXPECT_EQ(find(found, "distributed.overlap"), nullptr);
  EXPECT_EQ(find(found, "distributed.sharding"), nullptr);  // not beside a rounded wire
  ScalingQuestion canonical = question();
  canonical.job.shards = 8;
  const std::vector<Remedy> others = remedies(canonical, 8);
  EXPECT_NE(find(others, "train.reduction = \"buckets\""), nullptr);
  EXPECT_EQ(find(others, "distributed.bucket-bytes"), nullptr);
}

TEST(ScalingForecast, CanonicalSumsGrowByShardsForMicroBatchesAreRefusedThere) {
  ScalingQuestion canonical = question();
  canonical.job.shards = 8;
  const std::vector<Remedy> found = remedies(canonical, 8);
  const auto says_micro_batch = [](const Remedy& each) {
    return each.setting.find("micro-batch") != std::string::npos;
  };
  EXPECT_TRUE(std::none_of(found.begin(), found.end(), says_micro_batch));
  const Remedy* batch = find(found, "data.batch = 256, train.shards = 32");
  ASSERT_NE(batch, nullptr);
  EXPECT_FALSE(batch->same_training);
  canonical.job.shards = 1024;
  const std::vector<Remedy> most = remedies(canonical, 8);
  EXPECT_NE(find(most, "data.batch = 256, train.shards = 4096"), nullptr);
  EXPECT_EQ(find(most, "data.batch = 1024"), nullptr);  // more shards than the option takes
}

TEST(ScalingForecast, LargerMicroBatchesAreTried) {
  ScalingQuestion small = question();
  small.costs.groups[0].forward.fixed = 0.1;
  small.job.micro_batch = 1;
  const std::vector<Remedy> found = remedies(small, 8);
  const Remedy* whole = find(found, "train.micro-batch = 0");
  ASSERT_NE(whole, nullptr);
  EXPECT_GT(whole->gain, 1.5);
}

}  // namespace
}  // namespace thaw
