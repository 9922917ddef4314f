#include "launch/report/overfitting.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

namespace thaw {
namespace {

using testing::HasSubstr;
using testing::Not;

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

/// Evaluations at steps 10, 20, …
std::vector<FitPoint> points(const std::vector<double>& train,
                             const std::vector<double>& validation) {
  std::vector<FitPoint> points;
  for (std::size_t i = 0; i < train.size(); ++i) {
    points.push_back({static_cast<std::int64_t>(10 * (i + 1)), train[i], validation[i]});
  }
  return points;
}

TEST(JudgeFit, SaysNothingOfTooFew) {
  EXPECT_EQ(judge_fit({}).fit, Fit::kTooEarly);
  EXPECT_THAT(judge_fit({}).words, HasSubstr("No evaluation"));
  const FitVerdict two = judge_fit(points({1, 0.5}, {1, 2}));
  EXPECT_EQ(two.fit, Fit::kTooEarly);
  EXPECT_THAT(two.words, HasSubstr("2 evaluations: too few"));
}

TEST(JudgeFit, SeesTrainingGoOnWhileValidationRises) {
  const FitVerdict verdict = judge_fit(points({1, 0.5, 0.3, 0.2}, {1, 0.8, 0.9, 1.0}));
  EXPECT_EQ(verdict.fit, Fit::kOverfitting);
  EXPECT_EQ(verdict.best_step, 20);
  EXPECT_THAT(verdict.words, HasSubstr("overfits since step 20"));
  EXPECT_THAT(verdict.words, HasSubstr("from 0.8000 to 1.0000 (+25 %)"));
  EXPECT_THAT(verdict.words, HasSubstr("from 0.5000 to 0.2000 (-60 %)"));
}

TEST(JudgeFit, TakesOneHigherEvaluationForChance) {
  EXPECT_EQ(judge_fit(points({1, 0.5, 0.3}, {1, 0.8, 0.9})).fit, Fit::kImproving);
  EXPECT_EQ(judge_fit(points({1, 0.5, 0.3, 0.2}, {1, 0.8, 0.805, 0.81})).fit, Fit::kLevelled);
}

TEST(JudgeFit, TellsFailingTrainingFromOverfitting) {
  const FitVerdict verdict = judge_fit(points({1, 0.5, 0.9, 1.5}, {1, 0.8, 0.9, 1.6}));
  EXPECT_EQ(verdict.fit, Fit::kWorsening);
  EXPECT_THAT(verdict.words, HasSubstr("not overfitting"));
}

TEST(JudgeFit, IsContentWhereTheNewestIsTheBest) {
  const FitVerdict verdict = judge_fit(points({1, 0.5, 0.3}, {1, 0.8, 0.7}));
  EXPECT_EQ(verdict.fit, Fit::kImproving);
  EXPECT_EQ(verdict.best_step, 30);
  EXPECT_THAT(verdict.words, HasSubstr("no overfitting"));
}

TEST(JudgeFit, SaysWhereTheLossIsNoNumber) {
  const FitVerdict verdict = judge_fit(points({1, 0.5, kNaN}, {1, 0.8, kNaN}));
  EXPECT_EQ(verdict.fit, Fit::kBroken);
  EXPECT_EQ(verdict.best_step, 20);
  const FitVerdict never = judge_fit(points({kNaN}, {kNaN}));
  EXPECT_EQ(never.fit, Fit::kBroken);
  EXPECT_THAT(never.words, Not(HasSubstr("best")));
}

TEST(JudgeFit, WorksWithoutTrainingLosses) {
  const FitVerdict verdict = judge_fit(points({kNaN, kNaN, kNaN}, {0.5, 0.6, 0.7}));
  EXPECT_EQ(verdict.fit, Fit::kOverfitting);
  EXPECT_THAT(verdict.words, Not(HasSubstr("nan")));
}

}  // namespace
}  // namespace thaw
