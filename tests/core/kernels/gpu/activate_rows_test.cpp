#include "core/kernels/gpu/rows/activate_rows.h"

#include "tests/core/kernels/gpu/operands.h"

namespace thaw {
namespace {

constexpr Activation kActivations[] = {Activation::kGelu, Activation::kGeluTanh, Activation::kRelu};

long double exactly(Activation activation, long double x) {
  switch (activation) {
    case Activation::kGelu:
      return x * 0.5L * std::erfc(-x * 0.707106781186547524400844362105L);
    case Activation::kGeluTanh:
      return 0.5L * x *
             (1 + std::tanh(0.797884560802865355879892119869L * (x + 0.044715L * x * x * x)));
    default:
      return x > 0 ? x : 0;
  }
}

/// By differences, to 1e-9.
double slope(Activation activation, double x) {
  if (activation == Activation::kRelu) return x > 0 ? 1 : 0;
  const long double step = 1e-5L;
  return static_cast<double>((exactly(activation, x + step) - exactly(activation, x - step)) /
                             (2 * step));
}

template <typename Types>
class ActivateRows : public testing::Test {};
TYPED_TEST_SUITE(ActivateRows, AllKernelTypes);

TYPED_TEST(ActivateRows, IsTheActivationOfTheSum) {
  using E = typename TypeParam::E;
  using T = typename TypeParam::T;
  for (const Activation activation : kActivations) {
    for (const bool in_place : {false, true}) {
      for (const std::int64_t width : odd_widths(TypeParam::N)) {
        emulated::Grid grid;
        gpu::ActivateRows<emulated::Memory, E, T, TypeParam::N> kernel;
        const auto values = random_values<E>(3 * width, 1, 3);
        const auto bias = random_values<T>(width, 2);
        kernel.input = grid.input("input", values);
        kernel.bias = grid.input("bias", bias);
        kernel.output =
            in_place ? grid.in_place(kernel.input) : grid.output<E>("output", 3 * width);
        kernel.activation = activation;
        kernel.rows = 3;
        kernel.width = width;
        grid.run(kernel);
        std::vector<double> expected;
        for (std::size_t i = 0; i < values.size(); ++i) {
          expected.push_back(static_cast<double>(
              exactly(activation, value_of(values[i]) + value_of(bias[i % bias.size()]))));
        }
        expect_near(kernel.output, expected, TypeParam::kTolerance);
      }
    }
  }
}

TYPED_TEST(ActivateRows, Backward) {
  using E = typename TypeParam::E;
  using T = typename TypeParam::T;
  const std::int64_t rows = 11;
  for (const Activation activation : kActivations) {
    for (const bool sums : {false, true}) {
      for (const std::int64_t width : odd_widths(TypeParam::N)) {
        emulated::Grid grid;
        gpu::ActivateRowsBackward<emulated::Memory, E, T, TypeParam::N> kernel;
        const auto gradient = random_values<E>(rows * width, 1);
        const auto values = random_values<E>(rows * width, 2, 3);
        const auto bias = random_values<T>(width, 3);
        kernel.gradient = grid.input("gradient", gradient);
        kernel.input = grid.input("input", values);
        kernel.bias = grid.input("bias", bias);
        kernel.input_gradient = grid.output<E>("input gradient", rows * width);
        if (sums) kernel.bias_parts = grid.output<T>("parts", gpu::parts_of(rows) * width);
        kernel.activation = activation;
        kernel.rows = rows;
        kernel.width = width;
        grid.run(kernel);
        std::vector<double> expected, parts(static_cast<std::size_t>(gpu::parts_of(rows) * width));
        for (std::size_t i = 0; i < values.size(); ++i) {
          const std::size_t column = i % bias.size(), row = i / bias.size();
          expected.push_back(value_of(gradient[i]) *
                             slope(activation, value_of(values[i]) + value_of(bias[column])));
          const auto part = row / static_cast<std::size_t>(gpu::rows_a_part(rows));
          parts[part * bias.size() + column] += expected.back();
        }
        const double tolerance = sizeof(T) == 8 ? 1e-8 : 1e-5;
        expect_near(kernel.input_gradient, expected, TypeParam::kTolerance + tolerance);
        if (sums) expect_near(kernel.bias_parts, parts, tolerance);
      }
    }
  }
}

TEST(Gelu, KeepsItsRelativeAccuracyFarBelowZero) {
  for (const float x : {-12.0F, -9.0F, -5.0F, -1e-8F, 1e-8F, 5.0F, 40.0F}) {
    const auto expected = static_cast<double>(exactly(Activation::kGelu, x));
    EXPECT_NEAR(gpu::activate(Activation::kGelu, x), expected, 2e-5 * std::abs(expected)) << x;
  }
}

}  // namespace
}  // namespace thaw
