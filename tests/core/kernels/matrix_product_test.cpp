#include "core/kernels/matrix_product.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include "tests/core/kernels/relative_difference.h"

namespace thaw {
namespace {

TEST(MatrixProduct, IsTheSameWhicheverWayItsOperandsLie) {
  const at::Tensor left = at::randn({300, 50}), right = at::randn({50, 33});
  const at::Tensor expected = at::mm(left.to(at::kDouble), right.to(at::kDouble)).to(at::kFloat);
  EXPECT_LE(relative_difference(matrix_product(left, right), expected), 1e-6);
  EXPECT_LE(relative_difference(matrix_product(left, right.t().contiguous().t()), expected), 1e-6);
  EXPECT_LE(
      relative_difference(matrix_product(left.narrow(0, 0, 3), right), expected.narrow(0, 0, 3)),
      1e-6);
}

TEST(MatrixProduct, CopiesTransposes) {
  const at::Tensor matrix = at::randn({33, 50});
  EXPECT_TRUE(at::equal(transposed_copy(matrix), matrix.t()));
  const at::Tensor some = matrix.narrow(1, 3, 21);
  EXPECT_TRUE(at::equal(transposed_copy(some), some.t()));
  EXPECT_TRUE(at::equal(transposed_copy(matrix.t()), matrix));
}

TEST(MatrixProduct, SumsOverRowsOfOddShapes) {
  for (const std::int64_t rows : {1, 63, 64, 65, 130, 517}) {
    for (const std::int64_t outputs : {5, 127, 128, 201}) {
      for (const std::int64_t inputs : {1, 31, 64}) {
        const at::Tensor left = at::randn({rows, outputs + 3}, at::kDouble).narrow(1, 2, outputs);
        const at::Tensor right = at::randn({rows, inputs}, at::kDouble);
        const at::Tensor expected = at::mm(left.t(), right);
        const auto found = [&](at::ScalarType type) {
          // A view of some columns, as a gradient of several layers has them.
          const at::Tensor wide = at::cat({left.narrow(1, 0, 1), left}, 1).to(type);
          return summed_product(type, wide.narrow(1, 1, outputs), right.to(type));
        };
        EXPECT_LE(relative_difference(found(at::kDouble), expected), 1e-14);
        EXPECT_LE(relative_difference(found(at::kFloat), expected), 2e-6)
            << rows << " x " << outputs << " x " << inputs;
        EXPECT_LE(relative_difference(found(at::kBFloat16), expected), 2e-2);
        EXPECT_TRUE(found(at::kFloat).is_contiguous());
      }
    }
  }
}

TEST(MatrixProduct, SumsHaveTheSameBitsWhereverTheirFactorsLie) {
  const at::Tensor left = at::randn({70, 200}), right = at::randn({70, 33});
  if (!sums_by_onednn(left, right)) GTEST_SKIP() << "this LibTorch has no oneDNN";
  const at::Tensor expected = summed_product(at::kFloat, left, right);
  for (std::int64_t shift = 0; shift < 5; ++shift) {
    const at::Tensor wide = at::cat({at::zeros({70, shift}), left}, 1);
    const at::Tensor moved =
        at::cat({at::zeros({shift}), right.flatten()}).narrow(0, shift, 70 * 33);
    EXPECT_TRUE(at::equal(
        summed_product(at::kFloat, wide.narrow(1, shift, 200), moved.view({70, 33})), expected))
        << shift;
  }
}

}  // namespace
}  // namespace thaw
