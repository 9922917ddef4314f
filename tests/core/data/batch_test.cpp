#include "core/data/batch.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/tensor.h>
#include <gtest/gtest.h>

#include <stdexcept>

namespace thaw {
namespace {

at::Tensor integers(std::vector<std::int64_t> values) { return at::tensor(values, at::kLong); }

TEST(Batch, SliceOfTextsRebasesOffsets) {
  Batch batch;
  batch.inputs = at::arange(10, at::kLong);
  batch.offsets = integers({0, 3, 4, 8, 10});
  batch.labels = integers({5, 6, 7, 8});
  batch.samples = {40, 30, 20, 10};
  batch.epoch = 3;
  const Batch part = batch.slice(1, 3);
  EXPECT_TRUE(at::equal(part.inputs, integers({3, 4, 5, 6, 7})));
  EXPECT_TRUE(at::equal(part.offsets, integers({0, 1, 5})));
  EXPECT_TRUE(at::equal(part.labels, integers({6, 7})));
  EXPECT_EQ(part.samples, (std::vector<std::int64_t>{30, 20}));
  EXPECT_EQ(part.epoch, 3);
  EXPECT_EQ(part.inputs.data_ptr(), batch.inputs.const_data_ptr<std::int64_t>() + 3);  // a view
  EXPECT_EQ(batch.slice(2, 2).size(), 0);
  EXPECT_TRUE(at::equal(batch.slice(4, 4).offsets, integers({0})));
  EXPECT_EQ(batch.slice(0, 4).inputs.numel(), 10);
}

TEST(Batch, SliceOfImagesIsAView) {
  Batch batch;
  batch.inputs = at::arange(3 * 2 * 2 * 2, at::kFloat)
                     .view({3, 2, 2, 2})
                     .contiguous(at::MemoryFormat::ChannelsLast);
  batch.labels = integers({1, 2, 3});
  batch.samples = {0, 1, 2};
  const Batch part = batch.slice(1, 3);
  EXPECT_EQ(part.inputs.size(0), 2);
  EXPECT_TRUE(part.inputs.is_contiguous(at::MemoryFormat::ChannelsLast));
  EXPECT_EQ(part.inputs.data_ptr(), batch.inputs.const_data_ptr<float>() + 8);
  EXPECT_FALSE(part.offsets.defined());
}

TEST(Batch, SliceOutsideIsRefused) {
  Batch batch;
  batch.samples = {0, 1};
  EXPECT_THROW(batch.slice(0, 3), std::out_of_range);
  EXPECT_THROW(batch.slice(-1, 1), std::out_of_range);
  EXPECT_THROW(batch.slice(2, 1), std::out_of_range);
}

}  // namespace
}  // namespace thaw
