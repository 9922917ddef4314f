#include "core/kernels/gpu/rows/sum_rows.h"

#include "tests/core/kernels/gpu/operands.h"

namespace thaw {
namespace {

template <typename Types>
class SumRows : public testing::Test {};
TYPED_TEST_SUITE(SumRows, AllKernelTypes);

TYPED_TEST(SumRows, AddsUpColumns) {
  using T = typename TypeParam::T;
  for (const std::int64_t rows : {0, 1, 31, 32, 70}) {
    for (const std::int64_t n : {1, 31, 33}) {
      const std::int64_t columns = n * TypeParam::N;
      emulated::Grid grid;
      gpu::SumRows<emulated::Memory, typename TypeParam::E, T, TypeParam::N> kernel;
      const auto values = random_values<T>(rows * columns, 1);
      kernel.input = grid.input("input", values);
      kernel.output = grid.output<typename TypeParam::E>("output", columns);
      kernel.rows = rows;
      kernel.columns = columns;
      grid.run(kernel);
      std::vector<double> expected(static_cast<std::size_t>(columns));
      for (std::size_t i = 0; i < values.size(); ++i) {
        expected[i % expected.size()] += value_of(values[i]);
      }
      expect_near(kernel.output, expected, TypeParam::kTolerance);
    }
  }
}

TEST(SumRowsParts, FollowFromTheRowsAlone) {
  EXPECT_EQ(gpu::parts_of(0), 0);
  EXPECT_EQ(gpu::parts_of(1), 1);
  EXPECT_EQ(gpu::parts_of(5), 2);
  EXPECT_EQ(gpu::parts_of(4096), 512);
  EXPECT_EQ(gpu::rows_a_part(1 << 20), 32);
}

}  // namespace
}  // namespace thaw
