// Expected values are scipy's (ttest_rel, t.ppf) and Holm's own example's.
#include "core/record/statistics.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

namespace thaw {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

TEST(Statistics, MeanWithItsConfidenceInterval) {
  const std::vector<double> values = {1, 2, 3, 4, 5};
  EXPECT_DOUBLE_EQ(estimate(values).mean, 3);
  EXPECT_NEAR(estimate(values).half_width, 2.7764451051977987 * std::sqrt(0.5), 1e-12);
  const std::vector<double> one = {7};
  EXPECT_EQ(estimate(one).mean, 7);
  EXPECT_TRUE(std::isnan(estimate(one).half_width));
  EXPECT_TRUE(std::isnan(estimate({}).mean));
}

TEST(Statistics, PairedTest) {
  const std::vector<double> values = {1, 3, 5, 7, 9.5}, reference = {0, 1, 2, 3, 4};
  const PairedTest test = paired_t_test(values, reference);
  EXPECT_NEAR(test.difference.mean, 3.1, 1e-12);
  EXPECT_NEAR(test.p, 0.016550539701, 1e-9);
  // The spread of the differences 1, 2, 3, 4, 5.5 is 1.7464.
  EXPECT_NEAR(test.smallest_visible, 1.746425 / std::sqrt(5) * (2.776445 + 0.940965), 1e-5);
}

TEST(Statistics, EqualRunsDifferByNothing) {
  const std::vector<double> values = {0.5, 0.6, 0.7};
  EXPECT_EQ(paired_t_test(values, values).p, 1);
  const std::vector<double> more = {0.75, 0.85, 0.95};
  EXPECT_LT(paired_t_test(more, values).p, 1e-6);
  const std::vector<double> single = {0.5};
  EXPECT_TRUE(std::isnan(paired_t_test(single, single).p));
}

TEST(Statistics, HolmsCorrection) {
  const std::vector<double> p = {0.01, 0.04, kNan, 0.03, 0.005};
  const std::vector<double> corrected = holm(p);
  EXPECT_NEAR(corrected[4], 0.02, 1e-12);
  EXPECT_NEAR(corrected[0], 0.03, 1e-12);
  EXPECT_NEAR(corrected[3], 0.06, 1e-12);
  EXPECT_NEAR(corrected[1], 0.06, 1e-12);  // not less than the one before
  EXPECT_TRUE(std::isnan(corrected[2]));
  const std::vector<double> large = {0.6, 0.7};
  EXPECT_EQ(holm(large)[0], 1);
}

}  // namespace
}  // namespace thaw
