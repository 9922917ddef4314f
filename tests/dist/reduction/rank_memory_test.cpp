#include "dist/reduction/sharding/rank_memory.h"

#include <gtest/gtest.h>

namespace thaw {
namespace {

BucketEntry entry(const std::string& name, std::vector<std::int64_t> shape, bool by_rows = false) {
  return {.name = name, .shape = std::move(shape), .strides = {}, .by_rows = by_rows};
}

constexpr std::int64_t kMega = 1'000'000;

/// A head, then everything: 4 MB, 80 MB.
const std::vector<std::vector<BucketEntry>> kStages = {
    {entry("head", {1'000, 1'000})},
    {entry("lower", {9'000, 1'000}), entry("upper", {10'000, 1'000}),
     entry("head", {1'000, 1'000})}};

TEST(RankMemory, IsWholeOnEveryRankWithoutSharding) {
  for (const int ranks : {1, 3}) {
    const auto memory = memory_of_stages(kStages, {.ranks = ranks, .weights = 90 * kMega});
    ASSERT_EQ(memory.size(), 2U);
    ASSERT_EQ(memory[1].size(), static_cast<std::size_t>(ranks));
    for (const RankMemory& rank : memory[1]) {
      EXPECT_EQ(rank.weights, 90 * kMega);
      EXPECT_EQ(rank.state, 2 * 80 * kMega + 3 * 4);
      EXPECT_NEAR(static_cast<double>(rank.gradients), 80e6, 1'000);
    }
    EXPECT_EQ(memory[0][0].state, 2 * 4 * kMega + 4);
  }
}

TEST(RankMemory, OfWhatIsShardedIsAShare) {
  for (const int ranks : {2, 4}) {
    const auto optimizer =
        memory_of_stages(kStages, {.ranks = ranks, .sharding = Sharding::kOptimizer});
    const auto gradients =
        memory_of_stages(kStages, {.ranks = ranks, .sharding = Sharding::kGradients});
    for (std::size_t rank = 0; rank < static_cast<std::size_t>(ranks); ++rank) {
      EXPECT_NEAR(static_cast<double>(optimizer[1][rank].state), 160e6 / ranks, 4'000);
      EXPECT_NEAR(static_cast<double>(optimizer[1][rank].gradients), 80e6, 1'000);
      EXPECT_NEAR(static_cast<double>(gradients[1][rank].gradients), 80e6 / ranks, 2'000);
      EXPECT_EQ(gradients[1][rank].state, optimizer[1][rank].state);
      EXPECT_LT(gradients[1][rank].sum(), optimizer[1][rank].sum() + 80 * kMega);
    }
  }
}

TEST(RankMemory, WhatMpiTakesFollowsRanksPiecesAndSlices) {
  const std::int64_t mebi = 1 << 20;
  const auto bytes = [](std::int64_t rows, int ranks, Sharding sharding, int on_host) {
    const std::vector<BucketEntry> active = {entry("weight", {rows, 1024})};  // 4 KiB a row
    return message_bytes(active, {.ranks = ranks, .sharding = sharding}, on_host);
  };
  EXPECT_EQ(bytes(4'096, 1, Sharding::kNone, 1), 0);
  EXPECT_EQ(bytes(1, 2, Sharding::kNone, 2), 12 * mebi) << "the least, as it was measured";
  // Itself, a segment a rank of the host, a piece of the sum.
  EXPECT_EQ(bytes(4'096, 2, Sharding::kNone, 2), (1 + 2 * 4 + 4) * mebi);
  EXPECT_EQ(bytes(4'096, 8, Sharding::kNone, 4), (1 + 4 * 4 + 4) * mebi);
  // And a piece of a slice for each other rank, where slices are that long.
  EXPECT_EQ(bytes(4'096, 8, Sharding::kOptimizer, 4), (1 + 4 * 4 + 4 + 7) * mebi);
  EXPECT_LT(bytes(4'096, 64, Sharding::kGradients, 4), (1 + 4 * 4 + 4 + 16) * mebi);
}

TEST(RankMemory, StateOfWhatFreezesStaysOrIsDropped) {
  const std::vector<std::vector<BucketEntry>> stages = {kStages[0],
                                                        {entry("upper", {10'000, 1'000})}};
  MemoryQuestion question{.ranks = 2, .sharding = Sharding::kOptimizer};
  EXPECT_NEAR(static_cast<double>(memory_of_stages(stages, question)[1][0].state), 44e6, 4'000);
  question.state_is_kept = false;
  EXPECT_NEAR(static_cast<double>(memory_of_stages(stages, question)[1][0].state), 40e6, 4'000);
}

TEST(RankMemory, CanonicalSumsHoldSomeWholeGradients) {
  const auto memory = memory_of_stages(kStages, {.ranks = 2, .shards = 8, .slots = 1});
  EXPECT_GE(memory[1][1].gradients, 2 * 80 * kMega);
  EXPECT_EQ(memory[1][1].state, 80 * kMega + 3 * 4);
}

TEST(RankMemory, OfAStageThatTrainsNothingIsTheWeights) {
  const std::vector<std::vector<BucketEntry>> nothing = {{}};
  const auto memory = memory_of_stages(nothing, {.ranks = 2, .weights = 7});
  EXPECT_EQ(memory[0][1], (RankMemory{.weights = 7}));
}

}  // namespace
}  // namespace thaw
