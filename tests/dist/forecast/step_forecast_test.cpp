#include "dist/forecast/step_forecast.h"

#include <gtest/gtest.h>

#include <stdexcept>

#include "dist/forecast/sum_seconds.h"
#include "tests/dist/forecast/forecast_costs.h"

namespace thaw {
namespace {

constexpr double kTolerance = 1e-9;

/// Two hosts of one rank each, ten million bytes a second.
Network network() {
  Network network = slow_network();
  network.between.bandwidth = 1e7;
  return network;
}

/// Ten samples for each of two ranks; a bucket for each gradient.
ForecastJob job(Overlap overlap) {
  ForecastJob job;
  job.ranks = 2;
  job.batch = 20;
  job.buckets.cap_bytes = 1 << 20;
  job.overlap = overlap;
  return job;
}

// The last bucket has the flags of two parameters, and two more, of four bytes.
constexpr double kHigh = 0.1048576, kLow = 80 / 1e7;
// What comes before a sum beside backward: a look at whether the others are there, and 8 bytes.
constexpr double kArrival = 160e-6 + 8 / 1e7;

TEST(StepForecast, WithoutOverlapSumsFollowBackward) {
  const StepForecast step = forecast_step(two_groups(), job(Overlap::kOff), network());
  EXPECT_FALSE(step.overlaps);
  EXPECT_NEAR(step.forward, 0.15, kTolerance);
  EXPECT_NEAR(step.backward, 0.3, kTolerance);
  EXPECT_NEAR(step.exposed, kHigh + kLow, kTolerance);
  EXPECT_NEAR(step.sums, step.exposed, kTolerance);
  EXPECT_NEAR(step.seconds, 0.45 + kHigh + kLow, kTolerance);
  ASSERT_EQ(step.buckets.size(), 2U);
  EXPECT_EQ(step.buckets[0].bytes, 1 << 20);
  EXPECT_EQ(step.buckets[1].bytes, 80);
  EXPECT_NEAR(step.buckets[0].begun, 0.45, kTolerance);
  EXPECT_NEAR(step.buckets[1].done, step.seconds, kTolerance);
}

TEST(StepForecast, WithOverlapTheFirstBucketLeavesInMidBackward) {
  const StepForecast step = forecast_step(two_groups(), job(Overlap::kOn), network());
  EXPECT_TRUE(step.overlaps);
  EXPECT_NEAR(step.backward, 0.3, kTolerance);
  EXPECT_NEAR(step.exposed, kLow, kTolerance);  // the last one, which waits for the end
  EXPECT_NEAR(step.sums, kArrival + kHigh + kLow, kTolerance);
  EXPECT_NEAR(step.buckets[0].ready, 0.15 + 0.1, kTolerance);
  EXPECT_NEAR(step.buckets[0].done, 0.25 + kArrival + kHigh, kTolerance);
  EXPECT_NEAR(step.buckets[1].begun, 0.45, kTolerance);
}

TEST(StepForecast, SumsTakeFromBackwardWhatTheNetworkSays) {
  Network half = network();
  half.overlap_cost = 0.5;
  const double beside = kArrival + kHigh;  // while half of it is computed
  const StepForecast step = forecast_step(two_groups(), job(Overlap::kOn), half);
  EXPECT_NEAR(step.backward, 0.1 + beside + (0.2 - beside / 2), kTolerance);
  EXPECT_NEAR(step.exposed, kLow, kTolerance);
}

TEST(StepForecast, ASumThatOutlastsBackwardIsExposedForTheRest) {
  Network slow = network();
  slow.between.bandwidth = 1e6;
  const StepForecast step = forecast_step(two_groups(), job(Overlap::kOn), slow);
  const double done = 0.1 + 160e-6 + 8e-6 + 1.048576;  // after the begin of backward
  EXPECT_NEAR(step.exposed, done - 0.3 + 80e-6, kTolerance);
}

TEST(StepForecast, AutoTakesTheFasterWay) {
  Network all = network();
  all.overlap_cost = 1;  // backward stands still meanwhile, so that arrivals only cost
  EXPECT_TRUE(forecast_step(two_groups(), job(Overlap::kAuto), network()).overlaps);
  const StepForecast step = forecast_step(two_groups(), job(Overlap::kAuto), all);
  EXPECT_FALSE(step.overlaps);
  EXPECT_NEAR(step.seconds, 0.45 + kHigh + kLow, kTolerance);
  all.on_gpus = true;
  EXPECT_TRUE(forecast_step(two_groups(), job(Overlap::kAuto), all).overlaps);
}

TEST(StepForecast, CountsBytesAsTheReducerDoes) {
  const StepForecast step = forecast_step(two_groups(), job(Overlap::kOff), network());
  EXPECT_EQ(step.payload_bytes, 64 + (1 << 20));
  EXPECT_EQ(step.padding_bytes, 4 * 4);
  EXPECT_EQ(step.collectives, 2);
  EXPECT_EQ(step.sent_bytes, 80 + (1 << 20));
}

TEST(StepForecast, OneRankSendsNothing) {
  ForecastJob alone = job(Overlap::kAuto);
  alone.ranks = 1;
  const StepForecast step = forecast_step(two_groups(), alone, network());
  EXPECT_NEAR(step.seconds, 0.9, kTolerance);  // twenty samples
  EXPECT_EQ(step.payload_bytes, 0);
  EXPECT_EQ(step.exposed, 0);
}

TEST(StepForecast, TheLargestShareSetsThePace) {
  ForecastJob three = job(Overlap::kOff);
  three.ranks = 3;  // shares of 7, 7 and 6
  EXPECT_NEAR(forecast_step(two_groups(), three, network()).forward, 7 * 0.015, kTolerance);
}

TEST(StepForecast, MicroBatchesSumOnce) {
  StageCosts costs = two_groups();
  costs.groups[0].forward.fixed = 0.5;
  ForecastJob micro = job(Overlap::kOn);
  micro.micro_batch = 5;
  const StepForecast step = forecast_step(costs, micro, network());
  EXPECT_NEAR(step.forward, 0.15 + 2 * 0.5, kTolerance);
  EXPECT_NEAR(step.backward, 0.3, kTolerance);
  EXPECT_EQ(step.collectives, 2);
  // Forward, the first backward, and a third of the second.
  EXPECT_NEAR(step.buckets[0].ready, 1.15 + 0.15 + 0.05, kTolerance);
}

TEST(StepForecast, WhatElseAStepCosts) {
  StageCosts costs = two_groups();
  costs.loss = {0.001, 0.0001};
  costs.optimizer_fixed = 0.002;
  costs.optimizer_per_byte = 1e-9;
  costs.step_fixed = 0.003;
  costs.pack_per_byte = 1e-9;
  costs.sums = {.forward = 2, .backward = 1, .step = 1, .bytes = 1000};
  const StepForecast step = forecast_step(costs, job(Overlap::kOff), network());
  EXPECT_NEAR(step.other, 0.003 + 0.002 + 4 * 1e-4, kTolerance);
  EXPECT_NEAR(step.optimizer, 0.002 + 1e-9 * kBothBytes, kTolerance);
  EXPECT_NEAR(step.backward, 0.3 + 1e-9 * kBothBytes, kTolerance);
  EXPECT_NEAR(step.seconds,
              step.forward + step.backward + step.other + step.optimizer + step.exposed,
              kTolerance);
}

TEST(StepForecast, AnotherMachineComputesAtItsRate) {
  Network fast = network();
  fast.compute_rate = 2;
  EXPECT_NEAR(forecast_step(two_groups(), job(Overlap::kOff), fast).forward, 0.075, kTolerance);
  StageCosts costs = two_groups();
  costs.flops_per_second = 1e9;
  fast.float32_flops = 1e10;
  EXPECT_NEAR(forecast_step(costs, job(Overlap::kOff), fast).forward, 0.0075, kTolerance);
  Network shared = network();
  shared.shared_cores = 1;  // two ranks of one thread on one core
  EXPECT_NEAR(forecast_step(two_groups(), job(Overlap::kOff), shared).forward, 0.3, kTolerance);
}

TEST(StepForecast, ARoundedWireHalvesWhatTravelsButTheFlags) {
  ForecastJob rounded = job(Overlap::kOff);
  rounded.wire = GradientWire::kBFloat16;
  const StepForecast step = forecast_step(two_groups(), rounded, network());
  EXPECT_EQ(step.buckets[0].bytes, 1 << 19);
  EXPECT_EQ(step.buckets[1].bytes, 32);
  EXPECT_NEAR(step.exposed, kHigh / 2 + 32 / 1e7 + 16 / 1e7, kTolerance);
}

/// Before both groups an embedding of 1,024 rows, of which a batch touches 150.
StageCosts with_embedding() {
  StageCosts costs = two_groups();
  costs.groups.insert(costs.groups.begin(), {"embeddings", {0, 0}, {0, 0}});
  for (GradientCosts& gradient : costs.gradients) ++gradient.group;
  costs.gradients.insert(costs.gradients.begin(), gradient_of("words", {1024, 1024}, 0, true));
  costs.touched = {{10, 100}, {20, 150}};
  return costs;
}

TEST(StepForecast, RowsTravelThatAnyRankTouches) {
  StageCosts costs = with_embedding();
  const StepForecast step = forecast_step(costs, job(Overlap::kOff), network());
  const std::int64_t marks = 1024 * 2;
  EXPECT_EQ(step.payload_bytes, 64 + (1 << 20) + 150 * 4096 + marks);
  // Where each rank touches more than an eighth of the rows, all of them go.
  costs.touched = {{10, 129}, {20, 150}};
  EXPECT_EQ(forecast_step(costs, job(Overlap::kOff), network()).payload_bytes,
            64 + (1 << 20) + (4 << 20));
}

TEST(StepForecast, ShardingScattersAndGathers) {
  StageCosts costs = two_groups();
  costs.optimizer_per_byte = 1e-9;
  ForecastJob sharded = job(Overlap::kOff);
  sharded.sharding = Sharding::kOptimizer;
  const StepForecast step = forecast_step(costs, sharded, network());
  double expected = 0;
  for (const std::int64_t bytes : {1 << 20, 64}) {
    expected += scatter_seconds(network(), 2, bytes) + gather_seconds(network(), 2, bytes);
  }
  expected += sum_seconds(network(), 2, 16);  // the flags, by themselves
  EXPECT_NEAR(step.exposed, expected, kTolerance);
  EXPECT_NEAR(step.optimizer, 0.5e-9 * kBothBytes, kTolerance);
}

/// Ranks do not know which rows others have moved, as by decay and momentum: all of them go.
TEST(StepForecast, ShardingGathersWholeParametersWhoseGradientsTravelByRows) {
  ForecastJob sharded = job(Overlap::kOff);
  sharded.sharding = Sharding::kOptimizer;
  const StepForecast step = forecast_step(with_embedding(), sharded, network());
  double gathered = 0;
  for (const std::int64_t bytes : {1 << 20, 64, 4 << 20}) {
    gathered += gather_seconds(network(), 2, bytes);
  }
  double summed = sum_seconds(network(), 2, 1024 * 2) + sum_seconds(network(), 2, 20);
  for (const std::int64_t bytes : {1 << 20, 64, 150 * 4096}) {
    summed += scatter_seconds(network(), 2, bytes);
  }
  EXPECT_NEAR(step.exposed, summed + gathered, kTolerance);
}

TEST(StepForecast, CanonicalSumsGoByShardsAndWithoutOverlap) {
  ForecastJob canonical = job(Overlap::kOn);
  canonical.shards = 4;  // two a rank, of five samples each
  const StepForecast step = forecast_step(two_groups(), canonical, network());
  EXPECT_FALSE(step.overlaps);
  EXPECT_EQ(step.collectives, 1);
  EXPECT_NEAR(step.forward, 0.15, kTolerance);
  EXPECT_NEAR(step.exposed, 2 * (kBothBytes + 16) / 1e7, kTolerance);
}

TEST(StepForecast, MemoryIsWhatARankHolds) {
  StageCosts costs = two_groups();
  costs.memory = {.fixed = 1000, .activations = {10, 2}, .state_per_byte = 2, .kept_state = 500};
  ForecastJob alone = job(Overlap::kOff);
  alone.ranks = 1;
  const auto gradients = static_cast<std::int64_t>(kBothBytes);
  const std::int64_t passing = 1 << 20;  // the largest gradient, as it comes
  EXPECT_EQ(forecast_step(costs, alone, network()).memory_bytes,
            1000 + 500 + 3 * gradients + passing + 10 + 2 * 20);
  // Two ranks hold the flags too, and with their state shared out half of it each.
  ForecastJob sharded = job(Overlap::kOff);
  sharded.sharding = Sharding::kOptimizer;
  EXPECT_EQ(forecast_step(costs, sharded, network()).memory_bytes,
            1000 + 250 + 2 * gradients + 16 + passing + 10 + 2 * 10);
}

TEST(StepForecast, NobodyIsNoJob) {
  ForecastJob none = job(Overlap::kOff);
  none.ranks = 0;
  EXPECT_THROW(forecast_step(two_groups(), none, network()), std::invalid_argument);
}

TEST(StepForecast, AStageWithoutGradientsHasNoSums) {
  StageCosts costs = two_groups();
  costs.gradients.clear();
  const StepForecast step = forecast_step(costs, job(Overlap::kOn), network());
  EXPECT_EQ(step.exposed, 0);
  EXPECT_EQ(step.collectives, 0);
}

}  // namespace
}  // namespace thaw
