// What a cache will do in each stage, decided one after another as a run does.
#include "launch/price/prefix_price.h"

#include <gtest/gtest.h>

#include "core/train/prefix/prefix_use.h"
#include "launch/price/stage_spans.h"

namespace thaw {
namespace {

constexpr double kSamples = 1000;
constexpr std::int64_t kMegabyte = 1 << 20;

/// Two stages of so many passes, the first of which has more frozen.
PrefixForesight ahead(double passes) {
  PrefixForesight made;
  made.costs = {
      .boundaries = {{.seconds = 1e-3, .bytes = kMegabyte}, {.seconds = 3e-3, .bytes = kMegabyte}},
      .demands = {{1, passes * kSamples}, {0, passes * kSamples}},
      .samples = kSamples,
      .write_seconds = 1e-9,
      .read_seconds = 1e-10,
      .limit = 100 * kMegabyte};
  made.groups = {2, 5};
  made.least_samples = 1.5 * kSamples;
  return made;
}

TEST(PrefixPrice, TheFirstStageMakesWhatTheNextReadsToo) {
  const std::vector<StageReading> readings = readings_of(ahead(4), 2);
  ASSERT_EQ(readings.size(), 2U);
  EXPECT_EQ(readings[0].groups, 5U);
  EXPECT_EQ(readings[1].groups, 2U);
  EXPECT_NEAR(readings[0].making_seconds, kSamples * 3e-3 / 2 + 2 * kMegabyte * 1e-9, 1e-6);
  EXPECT_EQ(readings[1].making_seconds, 0);
  EXPECT_NEAR(readings[0].seconds_without, 4 * kSamples * 4e-3 / 2, 1e-6);
  EXPECT_NEAR(readings[0].sample_seconds, 3e-3, 1e-12);
}

TEST(PrefixPrice, EachStageLooksWhileEnoughIsToCome) {
  const std::vector<std::size_t> cuts = {6, 3, 0, 3};
  const std::vector<StageSpan> spans(4, StageSpan{.steps = 10, .evaluations = 1});
  ForeseenReadings ahead{.least_samples = 20, .looking_seconds = 1};
  const auto seconds = [&](bool evaluates) {
    return looking_seconds(
        {.cuts = cuts, .spans = spans, .batch = 2, .evaluates = evaluates, .ahead = ahead});
  };
  // Evaluations are looked at where two are to come; the third stage freezes nothing.
  EXPECT_EQ(seconds(true), (std::vector<double>{2, 0.5, 0, 0.5}));
  EXPECT_EQ(seconds(false), (std::vector<double>{1, 0.5, 0, 0.5}));
  ahead.least_samples = 21;
  EXPECT_EQ(seconds(false), (std::vector<double>{1, 0, 0, 0}));
  ahead = {};  // train.prefix-cache is "off"
  EXPECT_EQ(seconds(true), (std::vector<double>{0, 0, 0, 0}));
}

TEST(PrefixPrice, TooLittleToComeIsNotLookedAt) {
  const std::vector<StageReading> readings = readings_of(ahead(1), 1);
  EXPECT_FALSE(readings[1].groups);
  EXPECT_NE(readings[1].why_not, "");
}

TEST(PrefixPrice, NoRoomAndNoGain) {
  PrefixForesight full = ahead(4);
  full.costs.limit = 10;
  EXPECT_EQ(readings_of(full, 1)[0].why_not, "there is no room for it");
  PrefixForesight slow = ahead(4);
  slow.costs.read_seconds = 1;
  EXPECT_FALSE(readings_of(slow, 1)[0].groups);
  EXPECT_EQ(readings_of(slow, 1)[0].making_seconds, 0);
}

TEST(PrefixPrice, WhatIsThereTakesNoMaking) {
  PrefixForesight there = ahead(4);
  for (PrefixBoundary& boundary : there.costs.boundaries) boundary.filled = true;
  EXPECT_EQ(readings_of(there, 1)[0].groups, 5U);
  EXPECT_EQ(readings_of(there, 1)[0].making_seconds, 0);
}

}  // namespace
}  // namespace thaw
