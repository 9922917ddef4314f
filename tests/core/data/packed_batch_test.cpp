// What travels to a GPU, and what comes out there: all of it on the host.
#include "core/data/upload/packed_batch.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/tensor.h>
#include <gtest/gtest.h>

#include <cstddef>
#include <memory>
#include <vector>

#include "core/data/loading/image_converter.h"
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
