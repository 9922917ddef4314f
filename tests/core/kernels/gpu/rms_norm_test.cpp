#include "core/kernels/gpu/decoder/rms_norm.h"

#include <utility>

#include "tests/core/kernels/gpu/operands.h"

namespace thaw {
namespace {

constexpr double kEpsilon = 1e-5;

/// [rows, width] in float64, with what the norm makes of it.
struct Rows {
  Rows(std::vector<double> values, std::int64_t row_width)
      : sum(std::move(values)), width(static_cast<std::size_t>(row_width)) {
    for (std::size_t row = 0; row < sum.size() / width; ++row) {
      double total = 0;
      for (std::size_t i = 0; i < width; ++i) total += sum[row * width + i] * sum[row * width + i];
      rstd.push_back(1 / std::sqrt(total / static_cast<double>(width) + kEpsilon));
    }
  }
  double normalized(std::size_t i) const { return sum[i] * rstd[i / width]; }

  std::vector<double> sum, rstd;
  std::size_t width;
};

template <typename Types>
class RmsNorm : public testing::Test {};
TYPED_TEST_SUITE(RmsNorm, AllKernelTypes);

TYPED_TEST(RmsNorm, DividesByTheRootOfTheMeanSquare) {
  using E = typename TypeParam::E;
  using T = typename TypeParam::T;
  for (const std::int64_t width : odd_widths(TypeParam::N)) {
    for (const bool added : {false, true}) {
      emulated::Grid grid;
      gpu::RmsNorm<emulated::Memory, E, T, TypeParam::N> kernel;
      const auto input = random_values<E>(3 * width, 1);
      const auto residual = random_values<T>(3 * width, 2), weight = random_values<T>(width, 3);
      if (added) kernel.input = grid.input("input", input);
      kernel.residual = grid.input("residual", residual);
      kernel.weight = grid.input("weight", weight);
      if (added) kernel.sum = grid.output<T>("sum", 3 * width);
      kernel.normed = grid.output<E>("normed", 3 * width);
      kernel.rstd = grid.output<T>("rstd", 3);
      kernel.rows = 3;
      kernel.width = width;
      kernel.epsilon = static_cast<T>(kEpsilon);
      grid.run(kernel);
      std::vector<double> sum = values_of(residual), normed;
      for (std::size_t i = 0; added && i < sum.size(); ++i) sum[i] += value_of(input[i]);
      const Rows rows(sum, width);
      for (std::size_t i = 0; i < sum.size(); ++i) {
        normed.push_back(rows.normalized(i) * value_of(weight[i % rows.width]));
      }
      const double exact = sizeof(T) == 8 ? 1e-12 : 1e-5;
      if (added) expect_near(kernel.sum, rows.sum, exact);
      expect_near(kernel.normed, normed, TypeParam::kTolerance);
      expect_near(kernel.rstd, rows.rstd, exact);
    }
  }
}

TYPED_TEST(RmsNorm, Backward) {
  using E = typename TypeParam::E;
  using T = typename TypeParam::T;
  constexpr std::int64_t kRows = 11;
  for (const std::int64_t width : odd_widths(TypeParam::N)) {
    for (const bool all : {false, true}) {  // what is wanted, and what else comes back
      emulated::Grid grid;
      gpu::RmsNormBackward<emulated::Memory, E, T, TypeParam::N> kernel;
      const auto gradient = random_values<E>(kRows * width, 1);
      const auto of_sum = random_values<T>(kRows * width, 2),
                 sum = random_values<T>(kRows * width, 3);
      const auto weight = random_values<T>(width, 4);
      const Rows rows(values_of(sum), width);
      std::vector<T> rstd;
      for (const double each : rows.rstd) rstd.push_back(static_cast<T>(each));
      kernel.gradient = grid.input("gradient", gradient);
      if (all) kernel.sum_gradient = grid.input("sum gradient", of_sum);
      kernel.sum = grid.input("sum", sum);
      kernel.rstd = grid.input("rstd", rstd);
      kernel.weight = grid.input("weight", weight);
      if (all) kernel.input_gradient = grid.output<E>("input gradient", kRows * width);
      kernel.residual_gradient = grid.output<T>("residual gradient", kRows * width);
      if (all) kernel.parts = grid.output<T>("parts", gpu::parts_of(kRows) * width);
      kernel.rows = kRows;
      kernel.width = width;
      grid.run(kernel);

      std::vector<double> expected;
      std::vector<double> parts(static_cast<std::size_t>(gpu::parts_of(kRows) * width));
      for (std::size_t row = 0; row < kRows; ++row) {
        double along = 0;
        for (std::size_t i = 0; i < rows.width; ++i) {
          const std::size_t at = row * rows.width + i;
          const double of_weight = value_of(gradient[at]) * rows.normalized(at);
          along += of_weight * value_of(weight[i]);
          parts[row / static_cast<std::size_t>(gpu::rows_a_part(kRows)) * rows.width + i] +=
              of_weight;
        }
        for (std::size_t i = 0; i < rows.width; ++i) {
          const std::size_t at = row * rows.width + i;
          const double g = value_of(gradient[at]) * value_of(weight[i]);
          const double mean = along / static_cast<double>(rows.width);
          expected.push_back((g - rows.normalized(at) * mean) * rows.rstd[row] +
                             (all ? value_of(of_sum[at]) : 0));
        }
      }
      // Of rows of one element almost nothing is left, behind which rounding stands.
      const double exact = sizeof(T) == 8 ? 1e-9 : 2e-4;
      if (width == 1) continue;
      expect_near(kernel.residual_gradient, expected, exact);
      if (!all) continue;
      expect_near(kernel.input_gradient, expected, TypeParam::kTolerance + exact);
      expect_near(kernel.parts, parts, exact);
    }
  }
}

}  // namespace
}  // namespace thaw
