#include "core/kernels/gpu/rows/segment_mean.h"

#include "tests/core/kernels/gpu/operands.h"

namespace thaw {
namespace {

template <typename Types>
class SegmentMean : public testing::Test {};
TYPED_TEST_SUITE(SegmentMean, AllKernelTypes);

TYPED_TEST(SegmentMean, IsTheMeanOfEachSamplesRows) {
  using E = typename TypeParam::E;
  const PackedRows rows({3, 0, 1, 12, 0});
  for (const std::int64_t width : odd_widths(TypeParam::N)) {
    emulated::Grid grid;
    gpu::SegmentMean<emulated::Memory, E, typename TypeParam::T, TypeParam::N> kernel;
    const auto values = random_values<E>(rows.count() * width, 1);
    kernel.input = grid.input("input", values);
    kernel.offsets = grid.input("offsets", rows.offsets);
    kernel.output = grid.output<E>("output", 5 * width);
    kernel.samples = 5;
    kernel.width = width;
    grid.run(kernel);
    std::vector<double> expected(static_cast<std::size_t>(5 * width));
    for (std::int64_t row = 0; row < rows.count(); ++row) {
      const auto n = static_cast<std::size_t>(rows.owners[static_cast<std::size_t>(row)]);
      for (std::int64_t i = 0; i < width; ++i) {
        expected[n * static_cast<std::size_t>(width) + static_cast<std::size_t>(i)] +=
            value_of(values[static_cast<std::size_t>(row * width + i)]) /
            (rows.offsets[n + 1] - rows.offsets[n]);
      }
    }
    expect_near(kernel.output, expected, TypeParam::kTolerance);
  }
}

TYPED_TEST(SegmentMean, Backward) {
  using E = typename TypeParam::E;
  const PackedRows rows({3, 0, 1, 12, 0});
  for (const std::int64_t width : odd_widths(TypeParam::N)) {
    emulated::Grid grid;
    gpu::SegmentMeanBackward<emulated::Memory, E, typename TypeParam::T, TypeParam::N> kernel;
    const auto values = random_values<E>(5 * width, 1);
    kernel.gradient = grid.input("gradient", values);
    kernel.offsets = grid.input("offsets", rows.offsets);
    kernel.owners = grid.input("owners", rows.owners);
    kernel.output = grid.output<E>("output", rows.count() * width);
    kernel.rows = rows.count();
    kernel.width = width;
    grid.run(kernel);
    std::vector<double> expected;
    for (const std::int32_t owner : rows.owners) {
      const auto n = static_cast<std::size_t>(owner);
      for (std::int64_t i = 0; i < width; ++i) {
        expected.push_back(
            value_of(values[n * static_cast<std::size_t>(width) + static_cast<std::size_t>(i)]) /
            (rows.offsets[n + 1] - rows.offsets[n]));
      }
    }
    expect_near(kernel.output, expected, TypeParam::kTolerance);
  }
}

}  // namespace
}  // namespace thaw
