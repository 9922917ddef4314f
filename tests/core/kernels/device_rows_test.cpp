// Tensors in one buffer, and a micro-batch's rows as kernels of a GPU read them.
#include "core/kernels/rows/device_rows.h"

#include <ATen/ops/equal.h>
#include <ATen/ops/tensor.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <numeric>
#include <stdexcept>
#include <vector>

#include "core/kernels/random/draw_scope.h"

namespace thaw {
namespace {

using Ints = std::vector<std::int32_t>;
using Longs = std::vector<std::int64_t>;

TEST(TensorPack, PartsKeepTheirValuesThroughACopyOfTheBytes) {
  TensorPack pack;
  const std::size_t flags = pack.add(at::kByte, {3});
  const std::size_t nothing = pack.add(at::kFloat, {0, 4});
  const std::size_t numbers = pack.add(at::kDouble, {2, 2});
  const at::Tensor bytes = pack.allocate(/*pinned=*/false);
  pack.view(bytes, flags).fill_(7);
  pack.view(bytes, numbers).copy_(at::tensor({1.0, 2.0, 3.0, 4.0}).view({2, 2}));
  const at::Tensor copy = bytes.clone();
  bytes.zero_();
  EXPECT_TRUE(at::equal(pack.view(copy, flags), at::tensor({7, 7, 7}, at::kByte)));
  EXPECT_EQ(pack.view(copy, nothing).sizes(), (Longs{0, 4}));
  EXPECT_TRUE(at::equal(pack.view(copy, numbers),
                        at::tensor({1.0, 2.0, 3.0, 4.0}, at::kDouble).view({2, 2})));
  EXPECT_EQ(pack.view(copy, numbers).data_ptr(), copy[256].data_ptr());  // no third copy
}

TEST(RowIndex, SaysOwnerAndPlaceOfEachToken) {
  const RowIndex index = row_index(Longs{0, 2, 2, 5}, {});
  EXPECT_EQ(index.longest, 3);
  EXPECT_EQ(index.offsets, (Ints{0, 2, 2, 5}));
  EXPECT_EQ(index.owners, (Ints{0, 0, 2, 2, 2}));
  EXPECT_EQ(index.places, (Ints{0, 1, 0, 1, 2}));
  EXPECT_TRUE(index.words.empty());
  EXPECT_TRUE(index.word_firsts.empty());
}

TEST(RowIndex, SortsTokensByWordAndKeepsTheirOrder) {
  const RowIndex index = row_index(Longs{0, 6}, Longs{9, 4, 9, 0, 4, 9});
  EXPECT_EQ(index.words, (Longs{0, 4, 9}));
  EXPECT_EQ(index.word_firsts, (Ints{0, 1, 3, 6}));
  EXPECT_EQ(index.tokens_by_word, (Ints{3, 1, 4, 0, 2, 5}));
}

TEST(RowIndex, OfSamplesAsRowsIsEmpty) {
  const RowIndex index = row_index({}, {});
  EXPECT_TRUE(index.offsets.empty());
  EXPECT_TRUE(index.owners.empty());
}

TEST(CountedRows, AreThoseThatPredictATokenBehindThePrompt) {
  const CountedRows counted =
      counted_rows(Longs{1, 2, 3, 4, 5, 6, 7}, Longs{0, 2, 0}, Longs{0, 3, 6, 7});
  EXPECT_EQ(counted.rows, (Longs{0, 1, 4}));
  EXPECT_EQ(counted.targets, (Longs{2, 3, 6}));
  EXPECT_EQ(counted.owners, (Longs{0, 0, 1}));
  EXPECT_EQ(counted.slots, (Longs{0, 1, 3 + 1}));
  EXPECT_THROW(counted_rows(Longs{1, 2}, Longs{3}, Longs{0, 2}), std::out_of_range);
  EXPECT_THROW(counted_rows(Longs{1, 2}, Longs{-1}, Longs{0, 2}), std::out_of_range);
}

TEST(DeviceRows, TravelInThePackOfABatch) {
  const Longs samples{70, 3}, offsets{0, 3, 4}, words{5, 5, 1, 5};
  TensorPack pack;
  pack.add(at::kByte, {11});  // what else the batch has
  const DeviceRowsPack parts(pack, samples, row_index(offsets, words));
  const at::Tensor bytes = pack.allocate(/*pinned=*/false);
  parts.write(pack, bytes, samples);
  const auto rows = parts.view(pack, bytes.clone());
  EXPECT_EQ(rows->longest, 3);
  EXPECT_TRUE(at::equal(rows->samples, at::tensor({70, 3}, at::kLong)));
  EXPECT_TRUE(at::equal(rows->offsets, at::tensor({0, 3, 4}, at::kInt)));
  EXPECT_TRUE(at::equal(rows->owners, at::tensor({0, 0, 0, 1}, at::kInt)));
  EXPECT_TRUE(at::equal(rows->places, at::tensor({0, 1, 2, 0}, at::kInt)));
  EXPECT_TRUE(at::equal(rows->tokens_by_word, at::tensor({2, 0, 1, 3}, at::kInt)));
}

TEST(DeviceRows, AreMadeOnceWhereNoneCameAlong) {
  const SampleRows rows{.samples = {8, 9}, .offsets = {}};
  const DeviceRows& made = on_device(rows, at::kCPU);
  EXPECT_TRUE(at::equal(made.samples, at::tensor({8, 9}, at::kLong)));
  EXPECT_FALSE(made.offsets.defined());
  EXPECT_EQ(&on_device(rows, at::kCPU), &made);
}

TEST(DeviceRows, ThatCameAlongServeAllDrawsOfAScope) {
  const auto device = std::make_shared<const DeviceRows>();
  const Longs samples{4};
  DrawScope scope({.samples = samples, .device = device});
  EXPECT_EQ(scope.draws(1, 0.5).rows->device, device);
}

}  // namespace
}  // namespace thaw
