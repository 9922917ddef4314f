#include "dist/reduction/bucket_planner.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <set>

#include "core/base/error.h"

namespace thaw {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

BucketEntry entry(const std::string& name, std::int64_t elements,
                  ElementType type = ElementType::kFloat32, const std::string& device = "cpu") {
  return {name, {elements}, {1}, type, device};
}

std::vector<std::vector<std::size_t>> parameters_of(const BucketMap& map) {
  std::vector<std::vector<std::size_t>> all;
  for (const Bucket& bucket : map.buckets()) {
    all.emplace_back();
    for (const BucketSlot& slot : bucket.slots) all.back().push_back(slot.parameter);
  }
  return all;
}

TEST(BucketPlanner, NoParametersMeansNoBuckets) {
  const BucketMap map = plan_buckets({}, {});
  EXPECT_THAT(map.buckets(), IsEmpty());
  EXPECT_EQ(map.payload_bytes(), 0);
  EXPECT_EQ(map.padding_bytes(), 0);
}

TEST(BucketPlanner, GoesInReverseOrderOfDeclaration) {
  const std::vector<BucketEntry> entries = {entry("a", 10), entry("b", 20), entry("c", 30)};
  const BucketMap map = plan_buckets(entries, {});
  EXPECT_THAT(parameters_of(map), ElementsAre(ElementsAre(2, 1, 0)));
  EXPECT_EQ(map.generation(), 0);
}

TEST(BucketPlanner, FollowsAnObservedOrder) {
  const std::vector<BucketEntry> entries = {entry("a", 10), entry("b", 20), entry("c", 30)};
  const std::vector<std::size_t> order = {1, 2, 0};
  const BucketMap map = plan_buckets(entries, {}, order);
  EXPECT_THAT(parameters_of(map), ElementsAre(ElementsAre(1, 2, 0)));
  EXPECT_EQ(map.generation(), 1);
}

TEST(BucketPlanner, RefusesAnOrderThatIsNoPermutation) {
  const std::vector<BucketEntry> entries = {entry("a", 10), entry("b", 20)};
  for (const std::vector<std::size_t>& order :
       {std::vector<std::size_t>{0}, {0, 0}, {0, 2}, {0, 1, 2}}) {
    EXPECT_THROW(plan_buckets(entries, {}, order), InputError);
  }
}

TEST(BucketPlanner, AlignsSlotsAndAppendsFlags) {
  const std::vector<BucketEntry> entries = {entry("a", 17), entry("b", 1)};
  const BucketMap map = plan_buckets(entries, {});
  ASSERT_EQ(map.buckets().size(), 1u);
  EXPECT_THAT(map.buckets()[0].slots, ElementsAre(BucketSlot{1, 0, 1}, BucketSlot{0, 16, 17}));
  EXPECT_EQ(map.flags_offset(), 16 + 32);
  EXPECT_EQ(map.buckets()[0].length, 16 + 32 + 4);
  EXPECT_EQ(map.payload_bytes(), 18 * 4);
  EXPECT_EQ(map.padding_bytes(), (52 - 18) * 4);
}

TEST(BucketPlanner, ClosesBucketsAtTheCapAndTheFirstEarlier) {
  std::vector<BucketEntry> entries(10, entry("", 256));  // 1 KiB each
  for (std::size_t i = 0; i < entries.size(); ++i) entries[i].name = "p" + std::to_string(i);
  const BucketMap map = plan_buckets(entries, {.cap_bytes = 4096, .first_cap_bytes = 1024});
  EXPECT_THAT(parameters_of(map), ElementsAre(ElementsAre(9), ElementsAre(8, 7, 6, 5),
                                              ElementsAre(4, 3, 2, 1), ElementsAre(0)));
}

TEST(BucketPlanner, GivesAParameterLargerThanTheCapItsOwnBucket) {
  const std::vector<BucketEntry> entries = {entry("a", 8), entry("large", 5000), entry("b", 8)};
  const BucketMap map = plan_buckets(entries, {.cap_bytes = 1024, .first_cap_bytes = 1024});
  EXPECT_THAT(parameters_of(map), ElementsAre(ElementsAre(2), ElementsAre(1), ElementsAre(0)));
}

TEST(BucketPlanner, PutsWhatFitsIntoOneBucket) {
  const std::vector<BucketEntry> entries = {entry("a", 100'000), entry("b", 100'000)};
  EXPECT_EQ(plan_buckets(entries, {}).buckets().size(), 1u);
}

TEST(BucketPlanner, CapFollowsTheActiveBytes) {
  EXPECT_EQ(bucket_cap(0), 1 << 20);
  EXPECT_EQ(bucket_cap(64 << 20), 4 << 20);
  EXPECT_EQ(bucket_cap(std::int64_t{10} << 30), 16 << 20);
  EXPECT_EQ(bucket_cap(0, /*on_gpus=*/true), 25 << 20);
  EXPECT_EQ(bucket_cap(std::int64_t{10} << 30, /*on_gpus=*/true), 100 << 20);
}

TEST(BucketPlanner, KeepsTypesAndDevicesApartAndOrdersByReadiness) {
  const std::vector<BucketEntry> entries = {entry("a", 10, ElementType::kFloat64), entry("b", 10),
                                            entry("c", 10), entry("d", 10, ElementType::kBFloat16),
                                            entry("e", 10, ElementType::kFloat32, "cuda")};
  const BucketMap map = plan_buckets(entries, {});
  EXPECT_THAT(parameters_of(map),
              ElementsAre(ElementsAre(4), ElementsAre(3), ElementsAre(2, 1), ElementsAre(0)));
  EXPECT_EQ(map.buckets()[0].device, "cuda");
  EXPECT_EQ(map.buckets()[1].type, ElementType::kBFloat16);
  EXPECT_EQ(map.flags_offset(), 16);  // in the last one, of float64
}

// Whatever the parameters, caps and order: every parameter in exactly one slot, aligned, disjoint.
TEST(BucketPlanner, EveryParameterHasExactlyOneSlot) {
  std::mt19937 random(1);
  for (int trial = 0; trial < 200; ++trial) {
    std::vector<BucketEntry> entries(random() % 40);
    for (std::size_t i = 0; i < entries.size(); ++i) {
      entries[i] = entry("p" + std::to_string(i), static_cast<std::int64_t>(random() % 3000),
                         static_cast<ElementType>(random() % 3), random() % 2 ? "cpu" : "cuda");
    }
    const BucketOptions options{.cap_bytes = static_cast<std::int64_t>(random() % 20'000),
                                .first_cap_bytes = static_cast<std::int64_t>(random() % 4000)};
    std::vector<std::size_t> order(entries.size());
    for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
    std::shuffle(order.begin(), order.end(), random);
    if (trial % 2) order.clear();

    const BucketMap map = plan_buckets(entries, options, order);
    std::vector<int> seen(entries.size(), 0);
    for (std::size_t b = 0; b < map.buckets().size(); ++b) {
      std::int64_t end = 0;
      const Bucket& bucket = map.buckets()[b];
      for (const BucketSlot& slot : bucket.slots) {
        ++seen[slot.parameter];
        EXPECT_EQ(map.bucket_of(slot.parameter), b);
        EXPECT_EQ(map.slot_of(slot.parameter), slot);
        EXPECT_GE(slot.offset, end);
        EXPECT_EQ(slot.offset * static_cast<std::int64_t>(size_of(bucket.type)) % 64, 0);
        EXPECT_EQ(entries[slot.parameter].type, bucket.type);
        EXPECT_EQ(entries[slot.parameter].device, bucket.device);
        EXPECT_EQ(entries[slot.parameter].shape[0], slot.length);
        end = slot.offset + slot.length;
      }
      EXPECT_LE(end, bucket.length);
    }
    EXPECT_EQ(seen, std::vector<int>(entries.size(), 1));
  }
}

TEST(BucketPlanner, FingerprintCoversEverything) {
  const std::vector<BucketEntry> entries = {entry("a", 100), entry("b", 200)};
  std::vector<BucketMap> maps = {plan_buckets(entries, {})};
  EXPECT_EQ(plan_buckets(entries, {}).fingerprint(), maps[0].fingerprint());

  maps.push_back(plan_buckets(entries, {.cap_bytes = 500}));
  maps.push_back(plan_buckets(entries, {}, std::vector<std::size_t>{1, 0}));  // generation 1
  maps.push_back(plan_buckets(entries, {}, std::vector<std::size_t>{0, 1}));
  const auto with = [&](auto change) {
    std::vector<BucketEntry> changed = entries;
    change(changed);
    maps.push_back(plan_buckets(changed, {}));
  };
  with([](auto& e) { e[0].name = "c"; });
  with([](auto& e) { std::swap(e[0], e[1]); });
  with([](auto& e) { e[0].strides = {2}; });
  with([](auto& e) { e[0].type = ElementType::kBFloat16; });
  with([](auto& e) { e[0].device = "cuda"; });
  with([](auto& e) { e[0].shape = {10, 10}; });
  with([](auto& e) { e.pop_back(); });

  std::set<std::string> seen;
  for (const BucketMap& map : maps) seen.insert(map.fingerprint().hex());
  EXPECT_EQ(seen.size(), maps.size());
}

}  // namespace
}  // namespace thaw
