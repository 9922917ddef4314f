// What travels to a GPU, and what comes out there: all of it on the host.
#include "core/data/upload/packed_batch.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/tensor.h>
#include <gtest/gtest.h>

#include <cstddef>
#include <memory>
#include <set>
#include <vector>

#include "core/data/loading/image_converter.h"
#include "core/data/size_class.h"
#include "core/data/upload/batch_upload.h"
#include "core/data/upload/image_scale.h"

namespace thaw {
namespace {

Batch text_batch() {
  Batch batch;
  batch.inputs = at::tensor({5, 6, 7, 5}, at::kLong);
  batch.types = at::tensor({0, 0, 1, 1}, at::kLong);
  batch.offsets = at::tensor({0, 3, 4}, at::kLong);
  batch.labels = at::tensor({1, 0}, at::kLong);
  batch.samples = {70, 8};
  batch.epoch = 4;
  return batch;
}

/// The batch as it is where a copy of the buffer is all that is left of it.
Batch travelled(const Batch& batch) {
  const PackedBatch packed(batch, /*pinned=*/false);
  const at::Tensor copy = packed.bytes().clone();
  const at::Tensor images = packed.images().defined() ? packed.images().clone() : at::Tensor();
  packed.bytes().fill_(255);
  return packed.view(copy, images);
}

TEST(PackedBatch, TextsArriveWithAllThatKernelsReadOfTheirRows) {
  const Batch batch = text_batch(), there = travelled(batch);
  EXPECT_TRUE(at::equal(there.inputs, batch.inputs));
  EXPECT_TRUE(at::equal(there.types, batch.types));
  EXPECT_TRUE(at::equal(there.offsets, batch.offsets));
  EXPECT_TRUE(at::equal(there.labels, batch.labels));
  EXPECT_EQ(there.samples, batch.samples);
  EXPECT_EQ(there.epoch, 4);
  ASSERT_NE(there.rows, nullptr);
  EXPECT_TRUE(at::equal(there.rows->samples, at::tensor({70, 8}, at::kLong)));
  EXPECT_TRUE(at::equal(there.rows->offsets, at::tensor({0, 3, 4}, at::kInt)));
  EXPECT_TRUE(at::equal(there.rows->tokens_by_word, at::tensor({0, 3, 1, 2}, at::kInt)));
}

TEST(PackedBatch, PromptsBringAlongWhichTokensCount) {
  Batch batch = text_batch();
  EXPECT_FALSE(travelled(batch).rows->counted_rows.defined()) << "its labels are classes";
  batch.labels_of_prompts = true;  // of 1 of 3 tokens, and of 0 of 1
  const Batch there = travelled(batch);
  EXPECT_TRUE(there.labels_of_prompts);
  EXPECT_TRUE(at::equal(there.rows->counted_rows, at::tensor({0, 1}, at::kLong)));
  EXPECT_TRUE(at::equal(there.rows->counted_targets, at::tensor({6, 7}, at::kLong)));
  EXPECT_TRUE(at::equal(there.rows->counted_owners, at::tensor({0, 0}, at::kLong)));
  EXPECT_TRUE(at::equal(there.rows->counted_slots, at::tensor({0, 1}, at::kLong)));
  const Batch nothing = travelled(batch.slice(1, 2));
  EXPECT_EQ(nothing.rows->counted_rows.numel(), 0);
}

TEST(PackedBatch, LabelsOfAnyKindKeepTheirTypeAndShape) {
  Batch batch = text_batch();
  batch.labels = at::tensor({1, 0, 0, 1, 1, 1}, at::kByte).view({2, 3});
  EXPECT_TRUE(at::equal(travelled(batch).labels, batch.labels));
  batch.labels = at::tensor({0.5F, -2.0F}, at::kFloat).view({2, 1});
  EXPECT_TRUE(at::equal(travelled(batch).labels, batch.labels));
}

TEST(PackedBatch, ASliceTravelsByItself) {
  const Batch there = travelled(text_batch().slice(1, 2));
  EXPECT_TRUE(at::equal(there.inputs, at::tensor({5}, at::kLong)));
  EXPECT_TRUE(at::equal(there.rows->offsets, at::tensor({0, 1}, at::kInt)));
  EXPECT_TRUE(at::equal(there.rows->samples, at::tensor({8}, at::kLong)));
}

SizeClass class_of(std::int64_t tokens, std::int64_t longest, std::int64_t most) {
  return size_class(std::vector<TextShare>{{tokens, longest}}, most);
}

TEST(PackedBatch, FillersComeBehindTheSamples) {
  const Batch there = travelled(filled_up(text_batch(), class_of(4, 3, /*most=*/8)));
  // 4 tokens, in steps of one: a filler of one token is all that is missing.
  ASSERT_NE(there.size_class, nullptr);
  EXPECT_EQ(*there.size_class, (SizeClass{.tokens = 5, .longest = 8, .fillers = 1}));
  EXPECT_EQ(there.size(), 3);
  EXPECT_EQ(there.counted(), 2);
  EXPECT_TRUE(at::equal(there.inputs, at::tensor({5, 6, 7, 5, 0}, at::kLong)));
  EXPECT_TRUE(at::equal(there.types, at::tensor({0, 0, 1, 1, 0}, at::kLong)));
  EXPECT_TRUE(at::equal(there.offsets, at::tensor({0, 3, 4, 5}, at::kLong)));
  EXPECT_TRUE(at::equal(there.labels, text_batch().labels)) << "nobody's samples have none";
  EXPECT_EQ(there.rows->longest, 8);
  EXPECT_TRUE(at::equal(there.rows->offsets, at::tensor({0, 3, 4, 5}, at::kInt)));
  EXPECT_TRUE(at::equal(there.rows->owners, at::tensor({0, 0, 0, 1, 2}, at::kInt)));
}

// Whatever a batch is: it grows by some 6 %, and its fillers are samples that the model takes.
TEST(SizeClass, LeavesRoomForTheBatchAndLittleMore) {
  for (const std::int64_t most : {2, 3, 17, 128, 500}) {
    for (const std::int64_t longest : {std::int64_t{1}, (most + 1) / 2, most}) {
      for (std::int64_t tokens = longest; tokens < 3000; tokens += 7) {
        const SizeClass c = class_of(tokens, longest, most);
        const std::int64_t missing = c.tokens - tokens;
        EXPECT_GE(missing, c.fillers) << "an empty filler";
        EXPECT_LE(missing, c.fillers + tokens / 16 + 1);
        EXPECT_GE(c.longest, longest);
        EXPECT_LE(c.longest, most);
        EXPECT_LE((missing + c.fillers - 1) / c.fillers, c.longest) << "a filler of too many";
      }
    }
  }
}

TEST(SizeClass, IsTheSameOfBatchesThatDifferLittle) {
  std::set<std::int64_t> tokens;
  for (std::int64_t n = 600; n < 700; ++n) tokens.insert(class_of(n, 30, 32).tokens);
  EXPECT_LE(tokens.size(), 5U);
  EXPECT_EQ(class_of(600, 17, 128).longest, class_of(600, 30, 128).longest);
}

// Ranks wait for the largest share, and all of them come to the same graphs.
TEST(SizeClass, IsOneForTheSharesOfAllRanks) {
  for (const std::int64_t smallest : {40, 300, 999, 1000}) {
    const std::vector<TextShare> shares = {{1000, 20}, {smallest, 30}, {}, {500, 10}};
    const SizeClass c = size_class(shares, /*most=*/40);
    EXPECT_EQ(c.longest, 32);
    EXPECT_LE(c.tokens, 1000 + 64 + c.fillers);
    for (const TextShare& share : shares) {
      if (share.tokens == 0) continue;
      const std::int64_t missing = c.tokens - share.tokens;
      EXPECT_GE(missing, c.fillers) << "an empty filler";
      EXPECT_LE((missing + c.fillers - 1) / c.fillers, c.longest) << "a filler of too many";
    }
  }
}

TEST(SizeClass, FillsUpToTheTokensOfTheClass) {
  Batch batch = text_batch();
  batch.inputs = at::ones({1000}, at::kLong);
  batch.types = at::Tensor();
  batch.offsets = at::tensor(std::vector<std::int64_t>{0, 400, 1000}, at::kLong);
  const SizeClass expected = class_of(1000, 600, 600);
  const Batch full = filled_up(batch, expected);
  EXPECT_EQ(full.inputs.numel(), expected.tokens);
  EXPECT_EQ(full.offsets[-1].item<std::int64_t>(), expected.tokens);
  EXPECT_EQ(full.size(), 2 + expected.fillers);
  EXPECT_FALSE(full.types.defined());
}

TEST(PackedBatch, AnEmptyShareTravelsToo) {
  const Batch there = travelled(text_batch().slice(1, 1));
  EXPECT_EQ(there.inputs.numel(), 0);
  EXPECT_TRUE(at::equal(there.rows->offsets, at::tensor({0}, at::kInt)));
}

TEST(PackedBatch, BytesBecomeWhatTheHostMakesOfThemToTheBit) {
  const SampleFormat format{DataKind::kImages, 3, 16, 16, /*bytes=*/true};
  const ImageConverter converter(format, {0.485, 0.456, 0.406}, {0.229, 0.224, 0.225});
  const at::Tensor stored = at::arange(3 * 256, at::kLong).remainder(256).to(at::kByte);
  const auto* image = static_cast<const std::byte*>(stored.const_data_ptr());
  const Augmentation augmentation{.down = 2, .right = -3, .flip = true};
  Batch batch;
  batch.labels = at::tensor({0}, at::kLong);
  batch.samples = {0};
  batch.scale = std::make_shared<const ImageScale>(converter.scale());
  batch.inputs = image_memory({1, 3, 16, 16}, at::kByte, /*pinned=*/false);
  converter.place(image, augmentation, batch.inputs.mutable_data_ptr<std::uint8_t>());
  at::Tensor wanted = image_memory({1, 3, 16, 16}, at::kFloat, /*pinned=*/false);
  converter.convert(image, augmentation, wanted.mutable_data_ptr<float>());
  const Batch there = travelled(batch);
  EXPECT_TRUE(there.inputs.is_contiguous(at::MemoryFormat::ChannelsLast));
  EXPECT_TRUE(at::equal(there.inputs, wanted));
  EXPECT_FALSE(there.rows->offsets.defined());
}

TEST(Uploaded, IsTheBatchItselfWhereItLiesThere) {
  const Batch batch = text_batch();
  EXPECT_EQ(uploaded(batch, at::kCPU).inputs.data_ptr(), batch.inputs.data_ptr());
}

}  // namespace
}  // namespace thaw
