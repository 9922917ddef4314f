#include "core/data/memory_dataset.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/full.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "core/base/error.h"
#include "core/data/loading/evaluation_loader.h"
#include "core/data/loading/training_loader.h"

namespace thaw {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

at::Tensor numbers(std::vector<std::int64_t> values) { return at::tensor(values, at::kLong); }

MemorySplit images(const std::string& name, std::int64_t count) {
  return {name, at::arange(count * 4, at::kByte).view({count, 1, 2, 2}),
          at::arange(count, at::kLong).remainder(3)};
}

MemorySplit text(const std::string& name) {
  return {name, at::arange(6, at::kInt), numbers({0, 2}), numbers({0, 4, 6})};
}

TEST(MemoryDataset, HoldsImagesAsAFileDoes) {
  const Dataset dataset =
      make_memory_dataset({images("train", 7), images("validation", 3)},
                          {.classes = {}, .mean = {0.5}, .std_deviation = {0.25}});
  EXPECT_THAT(dataset.split_names(), ElementsAre("train", "validation"));
  EXPECT_THAT(dataset.classes(), ElementsAre("0", "1", "2"));
  EXPECT_EQ(dataset.split("train").size(), 7);
  EXPECT_TRUE(dataset.split("train").prepared());
  EvaluationLoader loader(dataset, "validation", {.batch = 2, .read_ahead = 0});
  const std::optional<Batch> first = loader.next();
  ASSERT_TRUE(first);
  EXPECT_TRUE(first->labels.equal(numbers({0, 1})));
  EXPECT_NEAR(first->inputs[1][0][1][1].item<double>(), (7 / 255.0 - 0.5) / 0.25, 1e-6);

  TrainingLoader training(dataset, {.batch = 7});
  EXPECT_EQ(training.next().batch.labels.sum().item<std::int64_t>(), 6);
}

bool is_ragged(const std::vector<std::int64_t>& lengths) {
  std::vector<std::int64_t> offsets = {0};
  for (const std::int64_t length : lengths) offsets.push_back(offsets.back() + length);
  const at::Tensor labels = at::zeros({static_cast<std::int64_t>(lengths.size())}, at::kLong);
  return make_memory_dataset(
             {{"train", at::arange(offsets.back(), at::kInt), labels, numbers(offsets)}},
             {.classes = {"a", "b"}})
      .split("train")
      .is_ragged();
}

// What decides whether texts are filled up to classes of sizes.
TEST(Split, IsRaggedWhereTextsDifferInLength) {
  EXPECT_FALSE(is_ragged({3}));
  EXPECT_FALSE(is_ragged({3, 3}));
  EXPECT_FALSE(is_ragged({1, 1, 1, 1}));
  EXPECT_TRUE(is_ragged({3, 2}));
  EXPECT_TRUE(is_ragged({2, 3}));
  EXPECT_TRUE(is_ragged({3, 3, 4, 3})) << "one that is longer";
  EXPECT_TRUE(is_ragged({3, 3, 3, 1})) << "one that is shorter";
  const Dataset dataset = make_memory_dataset({images("train", 7)}, {.classes = {}});
  EXPECT_FALSE(dataset.split("train").is_ragged());
}

TEST(MemoryDataset, HoldsTextAsAFileDoes) {
  const Dataset dataset = make_memory_dataset({text("train")}, {.classes = {"a", "b", "c"}});
  EvaluationLoader loader(dataset, "train", {.batch = 2, .read_ahead = 0});
  const std::optional<Batch> batch = loader.next();
  ASSERT_TRUE(batch);
  EXPECT_TRUE(batch->inputs.equal(at::arange(6, at::kLong)));
  EXPECT_TRUE(batch->offsets.equal(numbers({0, 4, 6})));
  EXPECT_EQ(dataset.split("train").largest_token(), 5);
}

std::string refusal(const std::vector<MemorySplit>& splits, const MemoryDatasetFacts& facts = {}) {
  try {
    make_memory_dataset(splits, facts);
    return "no error";
  } catch (const InputError& error) {
    return error.what();
  }
}

TEST(MemoryDataset, RefusesWhatDoesNotFit) {
  EXPECT_THAT(refusal({}), HasSubstr("holds no split"));
  EXPECT_THAT(refusal({images("train", 3), images("train", 3)}), HasSubstr("is there twice"));
  EXPECT_THAT(refusal({images("train", 3), text("test")}),
              HasSubstr("split \"test\": holds text, but \"train\" holds images of 1 x 2 x 2"));
  EXPECT_THAT(refusal({images("train", 3)}, {.classes = {"a", "b"}}),
              HasSubstr("sample 2 has label 2, but attribute \"classes\" names 2 classes"));
  EXPECT_THAT(refusal({images("train", 3)}, {.mean = {0.5, 0.5}, .std_deviation = {1, 1}}),
              HasSubstr("mean"));

  EXPECT_THAT(refusal({images("train", 3)}, {.classes = {"a", "b", "a"}}),
              HasSubstr("names 0 and 2 are both \"a\""));
  MemorySplit infinite = images("train", 3);
  infinite.inputs = infinite.inputs.to(at::kFloat);
  infinite.inputs[2][0][1][0] = std::numeric_limits<float>::infinity();
  EXPECT_THAT(refusal({infinite}), HasSubstr("sample 2 of inputs holds a value that is no number"));

  MemorySplit split = images("train", 3);
  split.labels = numbers({0, 1});
  EXPECT_THAT(refusal({split}), HasSubstr("holds 3 images, but 2 labels"));
  split.labels = numbers({0, -1, 0});
  EXPECT_THAT(refusal({split}), HasSubstr("labels must be >= 0"));
  split.labels = numbers({0, 1, std::int64_t{1} << 40});
  EXPECT_THAT(refusal({split}), HasSubstr("labels must be class numbers"));
  split.labels = at::zeros({3}, at::kInt);
  EXPECT_THAT(refusal({split}), HasSubstr("labels must be int64"));
  split.labels = at::zeros({0}, at::kLong);
  EXPECT_THAT(refusal({split}), HasSubstr("holds no samples"));
  split = images("train", 3);
  split.inputs = split.inputs.to(at::kDouble);
  EXPECT_THAT(refusal({split}), HasSubstr("uint8 or float32 [N, C, H, W]"));
  split.inputs = at::zeros({3, 1, 2, 4}, at::kByte).slice(3, 0, 4, 2);
  EXPECT_THAT(refusal({split}), HasSubstr("contiguous"));
}

TEST(MemoryDataset, RefusesOffsetsThatDoNotFit) {
  for (const std::vector<std::int64_t>& offsets :
       {std::vector<std::int64_t>{0, 6}, {0, 4, 7}, {1, 4, 6}, {0, 6, 6}, {0, 7, 6}, {}}) {
    MemorySplit split = text("train");
    split.offsets = numbers(offsets);
    EXPECT_THAT(refusal({split}), HasSubstr("offsets must rise from 0"));
  }
}

}  // namespace
}  // namespace thaw
