#include "core/kernels/gpu/rows/add_norm.h"

#include "tests/core/kernels/gpu/keyed_operands.h"

namespace thaw {
namespace {

using emulated::Grid;
using emulated::Memory;
using Numbers = std::vector<double>;

constexpr double kEpsilon = 1e-5;

/// What is there of the optional operands.
struct Parts {
  bool bias, residual, drops;
};
constexpr Parts kAllParts[] = {
    {true, true, true}, {false, false, false}, {true, false, true}, {false, true, false}};

/// Operands of one case, and the float64 results for them.
template <typename Types>
struct Case {
  using E = typename Types::E;
  using T = typename Types::T;

  Case(std::int64_t w, Parts p)
      : width(w),
        parts(p),
        input(random_values<E>(rows.count() * w, 1)),
        bias(random_values<T>(w, 2)),
        residual(random_values<T>(rows.count() * w, 3)),
        scale(random_values<T>(w, 4)),
        shift(random_values<T>(w, 5)),
        gradient(random_values<T>(rows.count() * w, 6)),
        rounded_gradient(random_values<E>(rows.count() * w, 9)) {}

  double factor(std::int64_t row, std::int64_t i) const {
    return parts.drops ? factor_of(key, rows, row, i) : 1;
  }

  /// Of the output and of its rounded form, as far as they come.
  double whole_gradient(std::size_t i) const {
    return (comes ? value_of(gradient[i]) : 0) +
           (comes_rounded ? value_of(rounded_gradient[i]) : 0);
  }

  /// Fills in what forward gives.
  void forward() {
    const auto w = static_cast<std::size_t>(width);
    for (std::size_t row = 0; row < static_cast<std::size_t>(rows.count()); ++row) {
      Numbers x;
      double mean = 0, variance = 0;
      for (std::size_t i = 0; i < w; ++i) {
        double value = value_of(input[row * w + i]) + (parts.bias ? value_of(bias[i]) : 0);
        value *= factor(static_cast<std::int64_t>(row), static_cast<std::int64_t>(i));
        x.push_back(value + (parts.residual ? value_of(residual[row * w + i]) : 0));
        mean += x.back() / static_cast<double>(w);
      }
      for (const double value : x) variance += (value - mean) * (value - mean);
      rstd.push_back(1 / std::sqrt(variance / static_cast<double>(w) + kEpsilon));
      for (std::size_t i = 0; i < w; ++i) {
        normalized.push_back((x[i] - mean) * rstd.back());
        output.push_back(normalized.back() * value_of(scale[i]) + value_of(shift[i]));
      }
    }
  }

  /// And backward, of `normalized` and `rstd` as they are.
  void backward() {
    const auto w = static_cast<std::size_t>(width);
    sums.assign(3 * w, 0);
    for (std::size_t row = 0; row < static_cast<std::size_t>(rows.count()); ++row) {
      double mean_g = 0, mean_gx = 0;
      for (std::size_t i = 0; i < w; ++i) {
        const double g = whole_gradient(row * w + i) * value_of(scale[i]);
        mean_g += g / static_cast<double>(w);
        mean_gx += g * normalized[row * w + i] / static_cast<double>(w);
      }
      for (std::size_t i = 0; i < w; ++i) {
        const double dy = whole_gradient(row * w + i), x = normalized[row * w + i];
        const double d = (dy * value_of(scale[i]) - mean_g - x * mean_gx) * rstd[row];
        residual_gradient.push_back(d);
        input_gradient.push_back(
            d * factor(static_cast<std::int64_t>(row), static_cast<std::int64_t>(i)));
        sums[i] += input_gradient.back();
        sums[w + i] += dy * x;
        sums[2 * w + i] += dy;
      }
    }
  }

  PackedRows rows{{1, 4, 0, 6}};
  std::int64_t width;
  Parts parts;
  bool comes = true, comes_rounded = false;
  DropoutKey key = key_of(0.3);
  std::vector<E> input;
  std::vector<T> bias, residual, scale, shift, gradient;
  std::vector<E> rounded_gradient;
  Numbers output, normalized, rstd, input_gradient, residual_gradient, sums;
};

template <typename Types>
class AddNorm : public testing::Test {};
TYPED_TEST_SUITE(AddNorm, AllKernelTypes);

TYPED_TEST(AddNorm, IsLayerNormOfTheSum) {
  using E = typename TypeParam::E;
  using T = typename TypeParam::T;
  for (const Parts& parts : kAllParts) {
    for (const std::int64_t width : odd_widths(TypeParam::N)) {
      Case<TypeParam> c(width, parts);
      c.forward();
      Grid grid;
      gpu::AddNorm<Memory, E, T, TypeParam::N> kernel;
      kernel.input = grid.input("input", c.input);
      if (parts.bias) kernel.bias = grid.input("bias", c.bias);
      if (parts.residual) kernel.residual = grid.input("residual", c.residual);
      if (parts.drops) kernel.keyed = keyed_rows(grid, c.rows, 0.3);
      kernel.scale = grid.input("scale", c.scale);
      kernel.shift = grid.input("shift", c.shift);
      kernel.output = grid.output<T>("output", c.rows.count() * width);
      if (parts.bias) kernel.rounded = grid.output<E>("rounded", c.rows.count() * width);
      kernel.normalized = grid.output<T>("normalized", c.rows.count() * width);
      kernel.rstd = grid.output<T>("rstd", c.rows.count());
      kernel.rows = c.rows.count();
      kernel.width = width;
      kernel.epsilon = static_cast<T>(kEpsilon);
      grid.run(kernel);
      // All results are T; of one column, a rounding of the mean is all that the deviation sees.
      const double tolerance = sizeof(T) == 4 ? (width == 1 ? 1e-3 : 2e-5) : 1e-10;
      expect_near(kernel.output, c.output, tolerance);
      if (parts.bias) expect_near(kernel.rounded, c.output, TypeParam::kTolerance + tolerance);
      expect_near(kernel.normalized, c.normalized, tolerance);
      expect_near(kernel.rstd, c.rstd, tolerance);
    }
  }
}

TYPED_TEST(AddNorm, MayKeepWhatItNormalisedInTheInputsPlace) {
  using T = typename TypeParam::T;
  Case<TypeParam> c(132, {false, false, false});
  c.forward();
  Grid grid;
  gpu::AddNorm<Memory, T, T, TypeParam::N> kernel;
  std::vector<T> input;
  for (const auto x : c.input) input.push_back(static_cast<T>(gpu::widen(x)));
  kernel.input = grid.input("input", input);
  kernel.normalized = grid.in_place(kernel.input);
  kernel.scale = grid.input("scale", c.scale);
  kernel.shift = grid.input("shift", c.shift);
  kernel.output = grid.output<T>("output", c.rows.count() * 132);
  kernel.rows = c.rows.count();
  kernel.width = 132;
  kernel.epsilon = static_cast<T>(kEpsilon);
  grid.run(kernel);
  expect_near(kernel.output, c.output, 2e-5);
  expect_near(kernel.normalized, c.normalized, 2e-5);
}

TYPED_TEST(AddNorm, Backward) {
  using E = typename TypeParam::E;
  using T = typename TypeParam::T;
  for (const Parts& parts : kAllParts) {
    for (const std::int64_t width : odd_widths(TypeParam::N)) {
      Case<TypeParam> c(width, parts);
      c.normalized = values_of(random_values<T>(c.rows.count() * width, 7));
      c.rstd = values_of(random_values<T>(c.rows.count(), 8));
      // Alone, beside the other, or not at all.
      c.comes = !parts.bias || parts.residual;
      c.comes_rounded = parts.bias || parts.drops;
      c.backward();
      Grid grid;
      gpu::AddNormBackward<Memory, E, T, TypeParam::N> kernel;
      if (c.comes) kernel.gradient = grid.input("gradient", c.gradient);
      if (c.comes_rounded) {
        kernel.rounded_gradient = grid.input("rounded gradient", c.rounded_gradient);
      }
      kernel.normalized =
          grid.input("normalized", std::vector<T>(c.normalized.begin(), c.normalized.end()));
      kernel.rstd = grid.input("rstd", std::vector<T>(c.rstd.begin(), c.rstd.end()));
      kernel.scale = grid.input("scale", c.scale);
      if (parts.drops) kernel.keyed = keyed_rows(grid, c.rows, 0.3);
      kernel.input_gradient = grid.output<E>("input gradient", c.rows.count() * width);
      if (parts.residual) {
        kernel.residual_gradient = grid.output<T>("residual gradient", c.rows.count() * width);
      }
      kernel.rows = c.rows.count();
      kernel.width = width;
      const std::int64_t count = gpu::parts_of(kernel.rows);
      if (parts.bias) kernel.parts = grid.output<T>("parts", count * 3 * width);
      grid.run(kernel);
      const double tolerance = sizeof(T) == 4 ? 2e-5 : 1e-11;
      expect_near(kernel.input_gradient, c.input_gradient, TypeParam::kTolerance + tolerance);
      if (parts.residual) expect_near(kernel.residual_gradient, c.residual_gradient, tolerance);
      if (!parts.bias) continue;

      Grid second;
      gpu::SumRows<Memory, T, T, TypeParam::N> sum;
      sum.input = second.input("parts", kernel.parts.array->now());
      sum.output = second.output<T>("sums", 3 * width);
      sum.rows = count;
      sum.columns = 3 * width;
      second.run(sum);
      expect_near(sum.output, c.sums, tolerance);
    }
  }
}

TYPED_TEST(AddNorm, NoRowsAreNoItems) {
  const gpu::AddNorm<Memory, typename TypeParam::E, typename TypeParam::T, TypeParam::N> forward;
  const gpu::AddNormBackward<Memory, typename TypeParam::E, typename TypeParam::T, TypeParam::N>
      backward;
  EXPECT_EQ(forward.items(), 0);
  EXPECT_EQ(backward.items(), 0);
}

}  // namespace
}  // namespace thaw
