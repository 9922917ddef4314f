#include "core/data/order/batch_plan.h"

#include <gtest/gtest.h>

#include <map>
#include <stdexcept>

namespace thaw {
namespace {

TEST(BatchPlan, LastBatchOfAnEpochIsShort) {
  EXPECT_EQ(next_global_batch(0, 10, 4), (GlobalBatch{0, {0, 4}}));
  EXPECT_EQ(next_global_batch(8, 10, 4), (GlobalBatch{0, {8, 10}}));
  EXPECT_EQ(next_global_batch(10, 10, 4), (GlobalBatch{1, {0, 4}}));
  EXPECT_EQ(next_global_batch(7, 10, 1000), (GlobalBatch{0, {7, 10}}));
  const std::int64_t huge = std::int64_t{1} << 62;
  EXPECT_EQ(next_global_batch(7, 10, huge), (GlobalBatch{0, {7, 10}}));
}

TEST(BatchPlan, CountsBatchesLeft) {
  EXPECT_EQ(batches_left_in_epoch(0, 10, 4), 3);
  EXPECT_EQ(batches_left_in_epoch(8, 10, 4), 1);
  EXPECT_EQ(batches_left_in_epoch(10, 10, 5), 2);
}

TEST(BatchPlan, PiecesAreBalancedInOrderAndComplete) {
  for (std::int64_t size = 0; size <= 40; ++size) {
    for (std::int64_t pieces = 1; pieces <= 8; ++pieces) {
      std::int64_t at = 5;
      for (std::int64_t i = 0; i < pieces; ++i) {
        const SampleRange piece = balanced_piece({5, 5 + size}, i, pieces);
        EXPECT_EQ(piece.first, at);
        EXPECT_GE(piece.size(), size / pieces);
        EXPECT_LE(piece.size(), (size + pieces - 1) / pieces);
        at = piece.last;
      }
      EXPECT_EQ(at, 5 + size);
    }
  }
}

TEST(BatchPlan, MicroBatchesAreFewAndBalanced) {
  EXPECT_TRUE(micro_batches(0, 4).empty());
  EXPECT_EQ(micro_batches(10, 0), (std::vector<SampleRange>{{0, 10}}));
  EXPECT_EQ(micro_batches(10, 4), (std::vector<SampleRange>{{0, 4}, {4, 7}, {7, 10}}));
  EXPECT_EQ(micro_batches(8, 4), (std::vector<SampleRange>{{0, 4}, {4, 8}}));
  for (const SampleRange& range : micro_batches(1000, 7)) EXPECT_LE(range.size(), 7);
}

TEST(BatchPlan, MicroBatchesByTokensAreAsLongAsCanBe) {
  const std::vector<std::int64_t> offsets = {0, 3, 4, 8, 10, 20, 21};
  EXPECT_EQ(micro_batches_by_tokens(offsets, 4),
            (std::vector<SampleRange>{{0, 2}, {2, 3}, {3, 4}, {4, 5}, {5, 6}}));
  EXPECT_EQ(micro_batches_by_tokens(offsets, 8),
            (std::vector<SampleRange>{{0, 3}, {3, 4}, {4, 5}, {5, 6}}));
  EXPECT_EQ(micro_batches_by_tokens(offsets, 1).size(), 6) << "one sample at least";
  EXPECT_EQ(micro_batches_by_tokens(offsets, 21), (std::vector<SampleRange>{{0, 6}}));
  EXPECT_TRUE(micro_batches_by_tokens(std::vector<std::int64_t>{0}, 5).empty());
  EXPECT_THROW(micro_batches_by_tokens(offsets, 0), std::invalid_argument);
}

TEST(BatchPlan, RefusesWhatMakesNoSense) {
  EXPECT_THROW(next_global_batch(-1, 10, 4), std::invalid_argument);
  EXPECT_THROW(next_global_batch(0, 0, 4), std::invalid_argument);
  EXPECT_THROW(next_global_batch(0, 10, 0), std::invalid_argument);
  EXPECT_THROW(balanced_piece({0, 10}, 2, 2), std::invalid_argument);
  EXPECT_THROW(micro_batches(-1, 2), std::invalid_argument);
}

/// How often each position of an epoch is drawn by ranks that change in number, and batches that
/// change in size, at every resume.
std::map<std::int64_t, int> draws_of_epoch(std::int64_t samples, std::int64_t epoch,
                                           std::int64_t first_batch) {
  std::map<std::int64_t, int> draws;
  std::int64_t cursor = epoch * samples;
  std::int64_t ranks = 1;
  std::int64_t batch = first_batch;
  while (cursor < (epoch + 1) * samples) {
    const GlobalBatch global = next_global_batch(cursor, samples, batch);
    EXPECT_EQ(global.epoch, epoch);
    for (std::int64_t rank = 0; rank < ranks; ++rank) {
      const SampleRange share = balanced_piece(global.positions, rank, ranks);
      for (std::int64_t i = share.first; i < share.last; ++i) ++draws[i];
    }
    cursor += global.size();
    ranks = ranks % 8 + 1;
    batch = batch % 13 + 1;
  }
  EXPECT_EQ(cursor, (epoch + 1) * samples);
  return draws;
}

TEST(BatchPlan, EverySampleOnceWhateverRanksAndBatchesDo) {
  for (const std::int64_t samples : {1, 2, 3, 7, 64, 100, 101}) {
    for (const std::int64_t batch : {1, 3, 8, 200}) {
      for (const std::int64_t epoch : {0, 5}) {
        const auto draws = draws_of_epoch(samples, epoch, batch);
        EXPECT_EQ(static_cast<std::int64_t>(draws.size()), samples);
        for (const auto& [position, count] : draws) EXPECT_EQ(count, 1) << position;
      }
    }
  }
}

TEST(BatchPlan, ShardsAreTheSameWhoeverHoldsThem) {
  for (const std::int64_t samples : {1, 3, 8, 13, 64}) {
    for (int ranks = 1; ranks <= 8; ++ranks) {
      std::int64_t next = 100;
      for (int rank = 0; rank < ranks; ++rank) {
        const ShardRange own = shards_of_rank(8, rank, ranks);
        const SampleRange share = samples_of_shards({100, 100 + samples}, own, 8);
        EXPECT_EQ(share.first, next);
        EXPECT_EQ(share.first, balanced_piece({100, 100 + samples}, own.first, 8).first);
        next = share.last;
      }
      EXPECT_EQ(next, 100 + samples);
    }
  }
  EXPECT_THROW(samples_of_shards({0, 8}, {6, 9}, 8), std::invalid_argument);
}

}  // namespace
}  // namespace thaw
