#include "core/kernels/random/keyed_dropout.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/full.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/rand.h>
#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "tests/core/kernels/simd_levels.h"

namespace thaw {
namespace {

using Indices = std::vector<std::int64_t>;

DropoutDraws draws_of(Indices samples, Indices offsets, double probability,
                      std::uint32_t site = 1) {
  DrawScope scope({.seed = 11, .epoch = 2, .samples = samples, .offsets = offsets});
  return scope.draws(site, probability);
}

class KeyedDropout : public EachSimdLevel {};
THAW_AT_EACH_SIMD_LEVEL(KeyedDropout);

TEST_P(KeyedDropout, IsTheFunctionThatTheNoteStates) {
  for (const at::ScalarType type : {at::kFloat, at::kDouble, at::kBFloat16}) {
    for (const std::int64_t width : {1, 15, 16, 100, 128, 129, 300}) {
      const DropoutDraws draws = draws_of({40, std::int64_t{1} << 33, 2}, {0, 2, 2, 5}, 0.3);
      const at::Tensor out = keyed_dropout(at::ones({5, width}, type), draws).to(at::kDouble);
      const std::vector<std::uint64_t> samples = {40, 40, 2, 2, 2};
      const std::vector<std::uint32_t> rows = {0, 1, 0, 1, 2};
      const double kept = at::full({1}, draws.key.scale, type).to(at::kDouble).item<double>();
      for (std::size_t row = 0; row < 5; ++row) {
        for (std::int64_t i = 0; i < width; ++i) {
          const bool keeps =
              draws.key.keeps(samples[row], rows[row], static_cast<std::uint32_t>(i));
          ASSERT_EQ(out[static_cast<std::int64_t>(row)][i].item<double>(), keeps ? kept : 0.0)
              << type << " width " << width << " row " << row << " element " << i;
        }
      }
    }
  }
}

TEST_P(KeyedDropout, DoesNotDependOnPackingPositionOrNeighbours) {
  const at::Tensor one = at::rand({3, 200});
  const at::Tensor other = at::rand({4, 200});
  const at::Tensor both = at::cat({other, one});
  const at::Tensor alone = keyed_dropout(one, draws_of({17}, {0, 3}, 0.5));
  const at::Tensor packed = keyed_dropout(both, draws_of({5, 17}, {0, 4, 7}, 0.5));
  EXPECT_TRUE(at::equal(alone, packed.slice(0, 4, 7)));
  // A row that is a sample is row 0 of a packed sample.
  const at::Tensor as_samples = keyed_dropout(one.slice(0, 0, 1), draws_of({17}, {}, 0.5));
  EXPECT_TRUE(at::equal(as_samples, alone.slice(0, 0, 1)));
}

TEST_P(KeyedDropout, KeepsTheExpectation) {
  const at::Tensor out = keyed_dropout(at::ones({1000, 1000}), draws_of({3}, {0, 1000}, 0.1));
  const double kept = out.ne(0).to(at::kDouble).mean().item<double>();
  // Four standard deviations of a million draws.
  EXPECT_NEAR(kept, 1 - 6554 / 65536.0, 4 * std::sqrt(0.09 / 1e6));
  EXPECT_NEAR(out.mean().item<double>(), 1.0, 0.002);
}

TEST_P(KeyedDropout, EdgeProbabilities) {
  const at::Tensor x = at::rand({4, 130});
  EXPECT_TRUE(at::equal(keyed_dropout(x, draws_of({1}, {0, 4}, 0)), x));
  EXPECT_EQ(keyed_dropout(x, draws_of({1}, {0, 4}, 1)).abs().sum().item<float>(), 0.0f);
}

TEST_P(KeyedDropout, BackwardDropsTheSameElements) {
  const DropoutDraws draws = draws_of({1, 2}, {0, 1, 4}, 0.4);
  at::Tensor x = at::ones({4, 77}, at::kDouble).requires_grad_();
  const at::Tensor y = keyed_dropout(x, draws);
  y.sum().backward();
  EXPECT_TRUE(at::equal(x.grad(), y.detach()));
}

TEST_P(KeyedDropout, HigherDimensionsAndStrides) {
  const DropoutDraws draws = draws_of({8, 9}, {}, 0.5);
  const at::Tensor x = at::ones({2, 3, 4, 5});
  const at::Tensor flat = keyed_dropout(at::ones({2, 60}), draws);
  EXPECT_TRUE(at::equal(keyed_dropout(x, draws).reshape({2, 60}), flat));
  const at::Tensor strided = at::ones({60, 2}).t();
  EXPECT_TRUE(at::equal(keyed_dropout(strided, draws), flat));
}

TEST(KeyedDropoutChecks, RowsMustBeSamplesOrTokens) {
  EXPECT_THROW(keyed_dropout(at::ones({3, 4}), draws_of({1, 2}, {0, 1, 4}, 0.5)), c10::Error);
  EXPECT_NO_THROW(keyed_dropout(at::ones({2, 4}), draws_of({1, 2}, {0, 1, 4}, 0.5)));
  EXPECT_THROW(keyed_dropout(at::ones({2, 4}, at::kLong), draws_of({1, 2}, {}, 0.5)), c10::Error);
  EXPECT_EQ(keyed_dropout(at::ones({0, 4}), draws_of({}, {0}, 0.5)).size(0), 0);
}

TEST(KeyedAttentionDropout, DoesNotDependOnPadding) {
  const DropoutDraws draws = draws_of({4, 6}, {0, 3, 8}, 0.5);
  const at::Tensor tight = keyed_attention_dropout(at::ones({2, 2, 5, 5}), draws);
  const at::Tensor loose = keyed_attention_dropout(at::ones({2, 2, 9, 9}), draws);
  EXPECT_TRUE(at::equal(loose.slice(2, 0, 5).slice(3, 0, 5), tight));
  for (std::int64_t head = 0; head < 2; ++head) {
    for (std::int64_t i = 0; i < 9; ++i) {
      EXPECT_EQ(
          tight[0][head][i / 3][i % 3].item<float>() != 0,
          draws.key.keeps(4, static_cast<std::uint32_t>(head), static_cast<std::uint32_t>(i)));
    }
  }
  EXPECT_THROW(keyed_attention_dropout(at::ones({2, 2, 4, 4}), draws), c10::Error);
}

}  // namespace
}  // namespace thaw
