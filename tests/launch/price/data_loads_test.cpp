// Tokens of batches as the trainer's loader makes them.
#include "launch/price/data_loads.h"

#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "core/data/loading/training_loader.h"
#include "core/data/memory_dataset.h"

namespace thaw {
namespace {

constexpr std::int64_t kSamples = 23;

/// Sample i has i + 1 tokens, all of them i.
Dataset texts() {
  std::vector<std::int64_t> offsets = {0};
  for (std::int64_t i = 0; i < kSamples; ++i) offsets.push_back(offsets.back() + i + 1);
  at::Tensor tokens = at::zeros({offsets.back()}, at::kInt);
  for (std::int64_t i = 0; i < kSamples; ++i) {
    tokens.slice(0, offsets[static_cast<std::size_t>(i)], offsets[static_cast<std::size_t>(i) + 1])
        .fill_(i);
  }
  at::Tensor ends = at::zeros({kSamples + 1}, at::kLong);
  std::copy(offsets.begin(), offsets.end(), ends.mutable_data_ptr<std::int64_t>());
  return make_memory_dataset({{.name = "train",
                               .inputs = tokens,
                               .labels = at::zeros({kSamples}, at::kLong),
                               .offsets = ends}});
}

TEST(DataLoads, AreThoseOfTheLoadersShares) {
  const Dataset dataset = texts();
  constexpr std::int64_t kBatch = 6;
  constexpr int kRanks = 4;
  DataLoads loads(dataset.split("train"), kBatch, kRanks, /*seed=*/5);
  std::int64_t cursor = 0;
  double sum = 0;
  double largest = 0;
  constexpr std::int64_t kSteps = 9;  // over two ends of epochs
  for (std::int64_t step = 0; step < kSteps; ++step) {
    double most = 0;
    std::int64_t size = 0;
    for (int rank = 0; rank < kRanks; ++rank) {
      TrainingLoader loader(
          dataset, {.batch = kBatch, .seed = 5, .read_ahead = 0, .rank = rank, .ranks = kRanks},
          cursor);
      const TrainingBatch batch = loader.next();
      size = batch.global.size();
      if (batch.batch.size() > 0) {
        most = std::max(most, static_cast<double>(batch.batch.inputs.numel()));
      }
    }
    EXPECT_EQ(loads.of_batch(cursor), most) << step;
    sum += most;
    largest = std::max(largest, most);
    cursor += size;
  }
  const Loads all = loads.of_steps(0, kSteps);
  EXPECT_NEAR(all.mean, sum / kSteps, 1e-9);
  EXPECT_EQ(all.largest, largest);
}

TEST(DataLoads, TheLongestSamples) {
  const Dataset dataset = texts();
  EXPECT_EQ(longest_samples(dataset.split("train"), 3), (std::vector<std::int64_t>{20, 21, 22}));
  EXPECT_EQ(longest_samples(dataset.split("train"), 99).size(), kSamples);
}

TEST(DataLoads, DistinctTokensAndTheWhole) {
  const Dataset dataset = texts();
  EXPECT_EQ(distinct_tokens(dataset.split("train"), {7, 2, 11}), 3);
  EXPECT_EQ(whole_load(dataset.split("train")), kSamples * (kSamples + 1) / 2);
}

TEST(DataLoads, RowsAreCountedUpToTheLargestBatch) {
  const Dataset dataset = texts();
  const Split& split = dataset.split("train");
  using Rows = std::vector<TouchedRows>;
  EXPECT_EQ(counted_rows(split, {.fewest = 3, .most = 10}), (Rows{{3, 3}, {6, 6}, {10, 10}}));
  EXPECT_EQ(counted_rows(split, {.fewest = 5, .most = 2}), (Rows{{5, 5}})) << "what was run";
  EXPECT_EQ(counted_rows(split, {.fewest = 12, .most = 1000}),
            (Rows{{12, 12}, {kSamples, kSamples}}))
      << "no batch has more than all samples";
  EXPECT_EQ(counted_rows(split, {.fewest = 3, .most = 20, .most_tokens = 1}),
            (Rows{{3, 3}, {20, 20}}))
      << "the second lies on the line through none and the first";
}

}  // namespace
}  // namespace thaw
