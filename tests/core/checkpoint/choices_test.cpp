// The pure parts: names of folders, what is kept, who writes what.
#include <gtest/gtest.h>

#include <numeric>

#include "core/checkpoint/layout.h"
#include "core/checkpoint/retention.h"
#include "core/checkpoint/sharding.h"

namespace thaw {
namespace {

TEST(LayoutTest, NamesTellStepAndTransition) {
  for (const CheckpointPlace place :
       {CheckpointPlace{0, false}, {500, false}, {500, true}, {12'345'678'901, true}}) {
    EXPECT_EQ(parse_folder_name(folder_name(place)), place);
  }
  EXPECT_EQ(folder_name({500, true}), "step-000000500-transition");
}

TEST(LayoutTest, WhatIsNotCompleteHasNoPlace) {
  for (const char* name :
       {"", "step-", "step-5", "step-000000005.partial", "step-000000005-transition.removing",
        "set-aside.step-000000005", "step-000000005-trans", "step--00000005", "step-00000000x",
        "step-99999999999999999999", "step-0000000005"}) {
    EXPECT_FALSE(parse_folder_name(name)) << name;
  }
}

TEST(LayoutTest, ATransitionIsLaterThanItsStep) {
  EXPECT_LT((CheckpointPlace{5, false}), (CheckpointPlace{5, true}));
  EXPECT_LT((CheckpointPlace{5, true}), (CheckpointPlace{6, false}));
}

std::vector<std::int64_t> steps(const std::vector<CheckpointPlace>& places) {
  std::vector<std::int64_t> result;
  for (const CheckpointPlace place : places) result.push_back(place.step);
  return result;
}

TEST(RetentionTest, KeepsTheNewestTheBestAndThoseAtTransitions) {
  const std::vector<StoredCheckpoint> stored = {
      {{60, false}, {}}, {{10, false}, {}},  {{20, false}, 0.3}, {{30, true}, 0.4},
      {{40, false}, {}}, {{50, false}, 0.5}, {{70, false}, {}}};
  EXPECT_EQ(steps(superfluous(stored, {.newest = 2})), (std::vector<std::int64_t>{10, 40, 50}));
  EXPECT_EQ(steps(superfluous(stored, {.newest = 2, .best = false})),
            (std::vector<std::int64_t>{10, 20, 40, 50}));
  EXPECT_EQ(steps(superfluous(stored, {.newest = 2, .transitions = false})),
            (std::vector<std::int64_t>{10, 30, 40, 50}));
  EXPECT_TRUE(superfluous(stored, {.newest = 7}).empty());
}

TEST(RetentionTest, TheNewestAlwaysStays) {
  EXPECT_TRUE(superfluous({{{1, false}, {}}}, {.newest = 0}).empty());
  EXPECT_TRUE(superfluous({}, {}).empty());
  const double nan = std::numeric_limits<double>::quiet_NaN();
  EXPECT_EQ(steps(superfluous({{{1, false}, nan}, {{2, false}, {}}}, {.newest = 1})),
            (std::vector<std::int64_t>{1}));
}

TEST(ShardingTest, EachTensorHasOneWriterAndTheLoadIsEven) {
  const std::vector<std::int64_t> bytes = {5, 100, 7, 40, 40, 1, 0, 30, 60, 17};
  const std::int64_t all = std::accumulate(bytes.begin(), bytes.end(), std::int64_t{0});
  for (const int ranks : {1, 2, 3, 4}) {
    const std::vector<int> writers = assign_writers(bytes, ranks);
    ASSERT_EQ(writers.size(), bytes.size());
    std::vector<std::int64_t> load(static_cast<std::size_t>(ranks), 0);
    for (std::size_t i = 0; i < bytes.size(); ++i) {
      load[static_cast<std::size_t>(writers[i])] += bytes[i];
    }
    for (const std::int64_t each : load)
      EXPECT_LE(each, std::max<std::int64_t>(100, all / ranks * 4 / 3));
    EXPECT_EQ(assign_writers(bytes, ranks), writers);
  }
  EXPECT_EQ(assign_writers({}, 3), std::vector<int>{});
}

}  // namespace
}  // namespace thaw
