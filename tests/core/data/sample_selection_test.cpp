#include "core/data/order/sample_selection.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/tensor.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "core/data/dataset.h"
#include "core/data/loading/training_loader.h"
#include "core/data/memory_dataset.h"

namespace thaw {
namespace {

std::vector<std::int64_t> labels() {
  std::vector<std::int64_t> labels;
  for (int i = 0; i < 300; ++i) labels.push_back(i % 10 == 0 ? 2 : i % 2);
  return labels;
}

std::map<std::int64_t, std::int64_t> counts(const std::vector<std::int64_t>& samples) {
  std::map<std::int64_t, std::int64_t> counts;
  for (const std::int64_t sample : samples) ++counts[labels()[static_cast<std::size_t>(sample)]];
  return counts;
}

TEST(SampleSelection, TakesTheSameShareOfEachClass) {
  const auto chosen = select_samples(labels(), {.fraction = 0.1});
  EXPECT_EQ(counts(chosen), (std::map<std::int64_t, std::int64_t>{{0, 12}, {1, 15}, {2, 3}}));
  EXPECT_TRUE(std::is_sorted(chosen.begin(), chosen.end()));
  EXPECT_EQ(std::adjacent_find(chosen.begin(), chosen.end()), chosen.end());
}

TEST(SampleSelection, AtMostSoManyOfEachClassAndAtLeastOne) {
  EXPECT_EQ(counts(select_samples(labels(), {.per_class = 10})),
            (std::map<std::int64_t, std::int64_t>{{0, 10}, {1, 10}, {2, 10}}));
  EXPECT_EQ(counts(select_samples(labels(), {.fraction = 1e-6})),
            (std::map<std::int64_t, std::int64_t>{{0, 1}, {1, 1}, {2, 1}}));
}

TEST(SampleSelection, FollowsTheSeedAndGrows) {
  const auto chosen = select_samples(labels(), {.fraction = 0.2, .seed = 1});
  EXPECT_NE(chosen, select_samples(labels(), {.fraction = 0.2, .seed = 2}));
  EXPECT_EQ(chosen, select_samples(labels(), {.fraction = 0.2, .seed = 1}));
  const auto more = select_samples(labels(), {.fraction = 0.5, .seed = 1});
  EXPECT_TRUE(std::includes(more.begin(), more.end(), chosen.begin(), chosen.end()));
}

/// Samples of 1 to 3 tokens; each token is the sample's number.
TEST(SampleSelection, ANarrowedSplitHoldsJustTheseSamples) {
  std::vector<std::int32_t> tokens;
  std::vector<std::int64_t> offsets = {0};
  for (int i = 0; i < 300; ++i) {
    tokens.insert(tokens.end(), static_cast<std::size_t>(i % 3 + 1), i);
    offsets.push_back(static_cast<std::int64_t>(tokens.size()));
  }
  Dataset dataset =
      make_memory_dataset({{"train", at::tensor(tokens, at::kInt), at::tensor(labels(), at::kLong),
                            at::tensor(offsets, at::kLong)}});
  const auto chosen = select_samples(labels(), {.fraction = 0.1});
  dataset.narrow("train", chosen);
  EXPECT_EQ(dataset.split("train").size(), 30);
  TrainingLoader loader(dataset, {.batch = 7, .read_ahead = 0});
  std::vector<std::int64_t> seen;
  for (int step = 0; step < 5; ++step) {
    const TrainingBatch batch = loader.next();
    for (std::int64_t i = 0; i < batch.batch.size(); ++i) {
      const std::int64_t sample =
          batch.batch.inputs[batch.batch.offsets[i].item<std::int64_t>()].item<std::int64_t>();
      EXPECT_EQ(batch.batch.labels[i].item<std::int64_t>(),
                labels()[static_cast<std::size_t>(sample)]);
      const std::int64_t length = batch.batch.offsets[i + 1].item<std::int64_t>() -
                                  batch.batch.offsets[i].item<std::int64_t>();
      EXPECT_EQ(length, sample % 3 + 1);
      seen.push_back(sample);
    }
  }
  std::sort(seen.begin(), seen.end());
  EXPECT_EQ(seen, chosen);
}

}  // namespace
}  // namespace thaw
