#include "dist/reduction/sharding/slice_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>

namespace thaw {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;

BucketEntry entry(const std::string& name, std::vector<std::int64_t> shape, bool by_rows = false,
                  ElementType type = ElementType::kFloat32) {
  return {.name = name, .shape = std::move(shape), .strides = {}, .type = type, .by_rows = by_rows};
}

/// Every element of every parameter and bucket is exactly one rank's, and the two ways to say whose
/// say the same.
void expect_whole(const SlicePlan& plan, const BucketMap& map) {
  for (std::size_t i = 0; i < map.buckets().size(); ++i) {
    const Bucket& bucket = map.buckets()[i];
    const Cuts& cuts = plan.bucket(i);
    ASSERT_EQ(cuts.size(), static_cast<std::size_t>(plan.ranks()) + 1);
    EXPECT_EQ(cuts.front(), 0);
    EXPECT_TRUE(std::is_sorted(cuts.begin(), cuts.end()));
    for (const BucketSlot& slot : bucket.slots) {
      const Cuts& own = plan.parameter(slot.parameter);
      ASSERT_EQ(own.size(), cuts.size());
      EXPECT_EQ(own.front(), 0);
      EXPECT_EQ(own.back(), slot.length);
      for (std::size_t rank = 0; rank + 1 < cuts.size(); ++rank) {
        if (own[rank] == own[rank + 1]) continue;
        EXPECT_GE(slot.offset + own[rank], cuts[rank]);
        EXPECT_LE(slot.offset + own[rank + 1], cuts[rank + 1]);
      }
    }
  }
}

TEST(SlicePlan, CutsEachBucketIntoOneSliceARank) {
  const std::vector<BucketEntry> entries = {entry("a", {1000, 10}), entry("b", {700}),
                                            entry("c", {300, 100}), entry("d", {3})};
  for (const std::int64_t cap : {1'000, 50'000, 1'000'000}) {
    const BucketMap map = plan_buckets(entries, {.cap_bytes = cap});
    for (const int ranks : {1, 2, 3, 4, 7}) expect_whole(plan_slices(map, entries, ranks), map);
  }
}

TEST(SlicePlan, IsBalancedOverAllBuckets) {
  std::vector<BucketEntry> entries;
  for (int i = 0; i < 100; ++i) entries.push_back(entry("p" + std::to_string(i), {65 + i, 7}));
  const BucketMap map = plan_buckets(entries, {.cap_bytes = 4'000, .first_cap_bytes = 1'000});
  ASSERT_GT(map.buckets().size(), 20U);
  for (const int ranks : {2, 3, 4}) {
    const SlicePlan plan = plan_slices(map, entries, ranks);
    std::int64_t most = 0, least = map.payload_bytes();
    for (int rank = 0; rank < ranks; ++rank) {
      most = std::max(most, plan.bytes_of(rank));
      least = std::min(least, plan.bytes_of(rank));
    }
    EXPECT_LE(most - least, 3 * kSliceBytes) << ranks;
  }
}

TEST(SlicePlan, CutsWithinAParameterWhereVectorsEnd) {
  const std::vector<BucketEntry> entries = {entry("odd", {17, 31}), entry("matrix", {257, 129}),
                                            entry("vector", {5'003})};
  const BucketMap map = plan_buckets(entries, {});
  for (const int ranks : {2, 3, 4, 5}) {
    const SlicePlan plan = plan_slices(map, entries, ranks);
    for (std::size_t i = 0; i < entries.size(); ++i) {
      for (const std::int64_t cut : plan.parameter(i)) {
        if (cut == plan.parameter(i).back()) continue;
        EXPECT_EQ(cut % (kSliceBytes / 4), 0) << entries[i].name;
      }
    }
  }
}

TEST(SlicePlan, LeavesSomeRanksNothingWhereThereAreMoreThanElements) {
  const std::vector<BucketEntry> entries = {entry("bias", {3}), entry("scale", {1})};
  const BucketMap map = plan_buckets(entries, {});
  const SlicePlan plan = plan_slices(map, entries, 8);
  expect_whole(plan, map);
  std::int64_t all = 0;
  for (int rank = 0; rank < 8; ++rank) all += plan.bytes_of(rank);
  EXPECT_EQ(all, 16);
}

TEST(SlicePlan, CutsWhatTravelsByRowsBetweenRows) {
  const std::vector<BucketEntry> entries = {entry("words", {1'001, 3}, /*by_rows=*/true),
                                            entry("head", {640})};
  const BucketMap map = plan_buckets(entries, {});
  for (const int ranks : {2, 3, 4}) {
    const SlicePlan plan = plan_slices(map, entries, ranks);
    expect_whole(plan, map);
    std::vector<std::int64_t> beyond_a_row;
    for (const std::int64_t cut : plan.parameter(0)) beyond_a_row.push_back(cut % 3);
    EXPECT_THAT(beyond_a_row, Each(0));
  }
}

TEST(SlicePlan, CutsByBytesWhateverTheType) {
  const std::vector<BucketEntry> entries = {
      entry("wide", {256}, false, ElementType::kFloat64),
      entry("narrow", {1'024}, false, ElementType::kBFloat16)};
  const SlicePlan plan = plan_slices(plan_buckets(entries, {}), entries, 2);
  EXPECT_THAT(plan.parameter(0), ElementsAre(0, 128, 256));
  EXPECT_THAT(plan.parameter(1), ElementsAre(0, 512, 1'024));
}

TEST(SlicePlan, IsNothingOfNothing) {
  const SlicePlan plan = plan_slices(plan_buckets({}, {}), {}, 3);
  EXPECT_EQ(plan.bytes_of(2), 0);
}

TEST(SlicePlan, TellsPlansApart) {
  const std::vector<BucketEntry> entries = {entry("a", {1'000}), entry("b", {2'000})};
  const SlicePlan one = plan_slices(plan_buckets(entries, {}), entries, 2);
  const SlicePlan same = plan_slices(plan_buckets(entries, {}), entries, 2);
  const SlicePlan buckets = plan_slices(plan_buckets(entries, {.cap_bytes = 64}), entries, 2);
  const SlicePlan ranks = plan_slices(plan_buckets(entries, {}), entries, 3);
  EXPECT_EQ(one.fingerprint(), same.fingerprint());
  EXPECT_NE(one.fingerprint(), buckets.fingerprint());
  EXPECT_NE(one.fingerprint(), ranks.fingerprint());
}

}  // namespace
}  // namespace thaw
