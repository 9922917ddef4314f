#include "dist/forecast/stage_costs.h"

#include <gtest/gtest.h>

#include "tests/dist/forecast/forecast_costs.h"

namespace thaw {
namespace {

TEST(StageCosts, ALineGoesThroughTwoMeasurements) {
  const LinearCost line = line_through(8, 0.5, 16, 0.9);
  EXPECT_NEAR(line.fixed, 0.1, 1e-12);
  EXPECT_NEAR(line.per_sample, 0.05, 1e-12);
  EXPECT_NEAR(line.at(4), 0.3, 1e-12);
  EXPECT_EQ(line.at(0), 0);
}

TEST(StageCosts, NoPartOfALineIsBelowZero) {
  EXPECT_EQ(line_through(8, 0.5, 16, 0.4), (LinearCost{0.4, 0}));
  EXPECT_EQ(line_through(8, 0.2, 16, 0.8), (LinearCost{0, 0.05}));
  EXPECT_EQ(line_through(8, 0.2, 8, 0.2), (LinearCost{0, 0.025}));
}

TEST(StageCosts, RowsAreReadOffBetweenWhatIsKnown) {
  const std::vector<TouchedRows> touched = {{10, 100}, {30, 200}};
  EXPECT_EQ(touched_by(touched, 0), 0);
  EXPECT_EQ(touched_by(touched, 5), 50);
  EXPECT_EQ(touched_by(touched, 10), 100);
  EXPECT_EQ(touched_by(touched, 20), 150);
  EXPECT_EQ(touched_by(touched, 1000), 200);
  EXPECT_EQ(touched_by({}, 10), 0);
}

TEST(StageCosts, GradientsCountByTheirElements) {
  EXPECT_EQ(gradient_bytes(two_groups()), static_cast<std::int64_t>(kBothBytes));
}

}  // namespace
}  // namespace thaw
