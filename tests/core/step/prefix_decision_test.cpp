// Whether a cache of the frozen prefix pays, and which boundaries stay: arithmetic over a grid.
#include "core/step/prefix/prefix_decision.h"

#include <gtest/gtest.h>

#include <cmath>

namespace thaw {
namespace {

constexpr double kSamples = 10000;
constexpr std::int64_t kMegabyte = 1 << 20;

/// Three boundaries, deeper ones slower; a head-only stage at the last, then one below each.
PrefixCosts costs_of(double passes) {
  return {.boundaries = {{.seconds = 1e-3, .bytes = 100 * kMegabyte},
                         {.seconds = 2e-3, .bytes = 100 * kMegabyte},
                         {.seconds = 3e-3, .bytes = 100 * kMegabyte}},
          .demands = {{2, passes * kSamples}, {1, passes * kSamples}, {0, passes * kSamples}},
          .samples = kSamples,
          .write_seconds = 1e-9,
          .read_seconds = 2e-10,
          .limit = 1000 * kMegabyte};
}

TEST(PrefixDecision, OnePassFillsWhatAllStagesNeed) {
  const PrefixDecision decision = decide_prefix(costs_of(3));
  EXPECT_TRUE(decision.use);
  EXPECT_EQ(decision.kept, (std::vector<std::size_t>{0, 1, 2}));
  EXPECT_EQ(decision.bytes, 300 * kMegabyte);
  EXPECT_NEAR(decision.seconds_without, 3 * kSamples * 6e-3, 1e-9);
  const double rows = 100.0 * kMegabyte;
  EXPECT_NEAR(decision.seconds_with, kSamples * 3e-3 + 3 * rows * 1e-9 + 9 * rows * 2e-10, 1e-9);
}

TEST(PrefixDecision, WhatIsThereAlreadyCostsReadingAlone) {
  PrefixCosts costs = costs_of(1);
  costs.demands = {{2, kSamples}};
  EXPECT_FALSE(decide_prefix(costs).use);
  costs.boundaries[2].filled = true;
  const PrefixDecision decision = decide_prefix(costs);
  EXPECT_TRUE(decision.use);
  EXPECT_EQ(decision.kept, (std::vector<std::size_t>{2}));
}

TEST(PrefixDecision, TheLeastUsefulBoundaryIsDroppedFirst) {
  PrefixCosts costs = costs_of(3);
  costs.limit = 250 * kMegabyte;
  PrefixDecision decision = decide_prefix(costs);
  EXPECT_EQ(decision.kept.size(), 2U);
  EXPECT_LE(decision.bytes, costs.limit);
  // Another choice of two costs more.
  for (std::size_t dropped = 0; dropped < 3; ++dropped) {
    PrefixCosts two = costs;
    two.boundaries[dropped].bytes = 10000 * kMegabyte;
    const PrefixDecision other = decide_prefix(two);
    EXPECT_GE(other.seconds_with, decision.seconds_with - 1e-9) << dropped;
  }
  costs.limit = 50 * kMegabyte;
  decision = decide_prefix(costs);
  EXPECT_FALSE(decision.use);
  EXPECT_TRUE(decision.kept.empty());
  EXPECT_EQ(decision.seconds_with, decision.seconds_without);
}

TEST(PrefixDecision, ALaterStageReadsAnEarlierBoundaryAndRunsTheRest) {
  PrefixCosts costs = costs_of(10);
  costs.demands = {{2, 10 * kSamples}};
  costs.boundaries[2].bytes = 2000 * kMegabyte;  // no room
  const PrefixDecision decision = decide_prefix(costs);
  EXPECT_TRUE(decision.use);
  EXPECT_EQ(decision.kept, (std::vector<std::size_t>{1}));
  EXPECT_NEAR(decision.seconds_with,
              kSamples * 2e-3 + 100.0 * kMegabyte * (1e-9 + 10 * 2e-10) + 10 * kSamples * 1e-3,
              1e-6);
}

TEST(PrefixDecision, AlwaysKeepsWhatFitsWorthItOrNot) {
  PrefixCosts costs = costs_of(0.1);
  EXPECT_FALSE(decide_prefix(costs).use);
  costs.always = true;
  EXPECT_TRUE(decide_prefix(costs).use);
  EXPECT_EQ(decide_prefix(costs).kept.size(), 3U);
  costs.limit = 0;
  EXPECT_FALSE(decide_prefix(costs).use);
}

/// Over a grid of passes, times, rates and room: a cache is chosen where its time, counted by hand
/// for the one boundary there is, is less by the margin, and only there; and never does what is
/// chosen come to more than what it replaces.
TEST(PrefixDecision, IsRightOverAGrid) {
  int used = 0;
  int cases = 0;
  for (const double passes : {1.0, 2.0, 3.0, 10.0, 50.0}) {
    for (const double seconds : {1e-6, 1e-5, 1e-4, 1e-2}) {
      for (const double byte_seconds : {1e-10, 1e-9, 1e-8}) {
        for (const std::int64_t bytes : {10 * kMegabyte, 500 * kMegabyte}) {
          PrefixCosts costs{.boundaries = {{.seconds = seconds, .bytes = bytes}},
                            .demands = {{0, passes * kSamples}},
                            .samples = kSamples,
                            .write_seconds = 3 * byte_seconds,
                            .read_seconds = byte_seconds,
                            .limit = 400 * kMegabyte};
          const double without = passes * kSamples * seconds;
          const double with =
              kSamples * seconds + static_cast<double>(bytes) * byte_seconds * (3 + passes);
          const bool pays = bytes <= costs.limit && with <= (1 - kLeastGain) * without;
          const PrefixDecision decision = decide_prefix(costs);
          EXPECT_EQ(decision.use, pays) << passes << " " << seconds << " " << byte_seconds;
          EXPECT_LE(decision.seconds_with, decision.seconds_without * (1 + 1e-12));
          if (decision.use) {
            EXPECT_NEAR(decision.seconds_with, with, 1e-9 * with);
          }
          used += decision.use ? 1 : 0;
          ++cases;
        }
      }
    }
  }
  EXPECT_GT(used, cases / 10);
  EXPECT_LT(used, cases * 9 / 10);
}

}  // namespace
}  // namespace thaw
