#include "core/kernels/gpu/decoder/gate_rows.h"

#include "tests/core/kernels/gpu/operands.h"

namespace thaw {
namespace {

double silu(double x) { return x / (1 + std::exp(-x)); }
double silu_slope(double x) {
  const double gate = 1 / (1 + std::exp(-x));
  return gate * (1 + x * (1 - gate));
}

template <typename Types>
class GateRows : public testing::Test {};
TYPED_TEST_SUITE(GateRows, AllKernelTypes);

TYPED_TEST(GateRows, IsTheActivationTimesWhatStandsBesideIt) {
  using E = typename TypeParam::E;
  for (const std::int64_t width : odd_widths(TypeParam::N)) {
    emulated::Grid grid;
    gpu::GateRows<emulated::Memory, E, typename TypeParam::T, TypeParam::N> kernel;
    const auto values = random_values<E>(3 * 2 * width, 1);
    kernel.input = grid.input("input", values);
    kernel.output = grid.output<E>("output", 3 * width);
    kernel.rows = 3;
    kernel.width = width;
    grid.run(kernel);
    const std::vector<double> all = values_of(values);
    std::vector<double> expected;
    for (std::int64_t i = 0; i < 3 * width; ++i) {
      const auto gate = static_cast<std::size_t>(i / width * 2 * width + i % width);
      expected.push_back(silu(all[gate]) * all[gate + static_cast<std::size_t>(width)]);
    }
    expect_near(kernel.output, expected, TypeParam::kTolerance);
  }
}

TYPED_TEST(GateRows, Backward) {
  using E = typename TypeParam::E;
  for (const std::int64_t width : odd_widths(TypeParam::N)) {
    emulated::Grid grid;
    gpu::GateRowsBackward<emulated::Memory, E, typename TypeParam::T, TypeParam::N> kernel;
    const auto gradient = random_values<E>(3 * width, 1);
    const auto values = random_values<E>(3 * 2 * width, 2);
    kernel.gradient = grid.input("gradient", gradient);
    kernel.input = grid.input("input", values);
    kernel.input_gradient = grid.output<E>("input gradient", 3 * 2 * width);
    kernel.rows = 3;
    kernel.width = width;
    grid.run(kernel);
    const std::vector<double> all = values_of(values), dy = values_of(gradient);
    std::vector<double> expected(all.size());
    for (std::int64_t i = 0; i < 3 * width; ++i) {
      const auto gate = static_cast<std::size_t>(i / width * 2 * width + i % width);
      const std::size_t up = gate + static_cast<std::size_t>(width);
      const double d = dy[static_cast<std::size_t>(i)];
      expected[gate] = d * all[up] * silu_slope(all[gate]);
      expected[up] = d * silu(all[gate]);
    }
    expect_near(kernel.input_gradient, expected, TypeParam::kTolerance);
  }
}

}  // namespace
}  // namespace thaw
