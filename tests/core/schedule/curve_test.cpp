#include "core/schedule/curves/curve.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

namespace thaw {
namespace {

std::vector<double> factors(const Curve& curve, std::int64_t length, std::int64_t steps) {
  std::vector<double> result;
  for (std::int64_t step = 0; step < steps; ++step) {
    result.push_back(curve_factor(curve, step, length));
  }
  return result;
}

void expect_factors(const Curve& curve, std::int64_t length, const std::vector<double>& expected) {
  const auto actual = factors(curve, length, static_cast<std::int64_t>(expected.size()));
  for (std::size_t i = 0; i < expected.size(); ++i) {
    EXPECT_NEAR(actual[i], expected[i], 1e-15) << "step " << i;
  }
}

TEST(Curve, Constant) {
  expect_factors({}, 3, {1, 1, 1, 1});
  expect_factors({.warmup_steps = 3}, 5, {0.25, 0.5, 0.75, 1, 1});
  expect_factors({.warmup_fraction = 0.5}, 8, {0.2, 0.4, 0.6, 0.8, 1, 1, 1, 1});
}

TEST(Curve, Linear) {
  expect_factors({.shape = "linear"}, 4, {1, 0.75, 0.5, 0.25, 0, 0});
  expect_factors({.shape = "linear", .parameters = {{"final-factor", 0.5}}}, 4,
                 {1, 0.875, 0.75, 0.625, 0.5});
  expect_factors({.shape = "linear", .warmup_steps = 1}, 5, {0.5, 1, 0.75, 0.5, 0.25, 0});
}

TEST(Curve, Cosine) {
  const double eighth = (1 + std::sqrt(0.5)) / 2;  // (1 + cos π/4) / 2
  expect_factors({.shape = "cosine"}, 4, {1, eighth, 0.5, 1 - eighth, 0, 0});
  expect_factors({.shape = "cosine", .parameters = {{"final-factor", 0.2}}}, 2, {1, 0.6, 0.2});
}

TEST(Curve, CosineRestarts) {
  const auto restarts = [](double steps, double growth, double final_factor = 0) {
    return Curve{
        .shape = "cosine-restarts",
        .parameters = {
            {"period-steps", steps}, {"period-growth", growth}, {"final-factor", final_factor}}};
  };
  const double eighth = (1 + std::sqrt(0.5)) / 2;  // (1 + cos π/4) / 2
  // Periods of 2, 4, 8, …, whatever the stage's length.
  expect_factors(restarts(2, 2), 0, {1, 0.5, 1, eighth, 0.5, 1 - eighth, 1});
  expect_factors(restarts(2, 1, 0.2), 3, {1, 0.6, 1, 0.6, 1, 0.6});
  EXPECT_FALSE(needs_length(restarts(2, 2)));
  Curve warmed = restarts(2, 2);
  warmed.warmup_steps = 1;
  expect_factors(warmed, 0, {0.5, 1, 0.5, 1, eighth});
  // In the far end of the longest run: periods that began with 3 steps and trebled.
  std::int64_t begin = 0, period = 3;
  for (; begin + period < 1000000000000000; period *= 3) begin += period;
  EXPECT_EQ(curve_factor(restarts(3, 3), begin, 0), 1);
  EXPECT_LT(curve_factor(restarts(3, 3), begin - 1, 0), 1e-12);
  EXPECT_NEAR(curve_factor(restarts(3, 3), begin + period / 2, 0), 0.5, 1e-12);
  EXPECT_EQ(curve_factor(restarts(7, 1), 700000000000000, 0), 1);
}

TEST(Curve, SlantedTriangularIsUlmfits) {
  // T = 20, cut_frac 0.1: cut = 2; then a fall over 18 steps, by the paper's equation 3 with
  // cut · (1 / cut_frac − 1) = 18.
  const Curve curve{.shape = "slanted-triangular"};
  const auto eta = [](double p) { return (1 + p * 31) / 32; };
  std::vector<double> expected = {eta(0), eta(0.5)};
  for (int t = 2; t < 20; ++t) expected.push_back(eta(1 - (t - 2) / 18.0));
  expect_factors(curve, 20, expected);
  EXPECT_DOUBLE_EQ(curve_factor(curve, 2, 20), 1);
  EXPECT_DOUBLE_EQ(curve_factor(curve, 20, 20), 1 / 32.0);
  EXPECT_DOUBLE_EQ(curve_factor(curve, 0, 20), 1 / 32.0);
}

TEST(Curve, SlantedTriangularStaysAboveItsLowestRateAtEveryLength) {
  // The equation as printed goes negative here: T = 19 floors cut to 1, so it falls over 9 steps.
  const Curve curve{.shape = "slanted-triangular"};
  for (std::int64_t length = 1; length < 64; ++length) {
    for (const double factor : factors(curve, length, length + 3)) {
      EXPECT_GE(factor, 1 / 32.0 - 1e-15) << length;
      EXPECT_LE(factor, 1) << length;
    }
  }
}

TEST(Curve, WarmUpLeadsToTheShapesFirstValue) {
  const Curve curve{.shape = "slanted-triangular", .warmup_steps = 3};
  expect_factors(curve, 23, {0.25 / 32, 0.5 / 32, 0.75 / 32, 1 / 32.0, (1 + 15.5) / 32, 1});
}

TEST(Curve, OwnLengthTakesThePlaceOfTheStages) {
  expect_factors({.shape = "linear", .steps = 2}, 100, {1, 0.5, 0, 0, 0});
  EXPECT_EQ(warmup_steps({.warmup_fraction = 0.26}, 10), 3);
  EXPECT_EQ(warmup_steps({.warmup_steps = 7, .warmup_fraction = 0.5}, 10), 7);
}

}  // namespace
}  // namespace thaw
