#include "core/step/finite_guard.h"

#include <ATen/ops/cross_entropy_loss.h>
#include <ATen/ops/equal.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <set>

#include "core/base/error.h"
#include "core/config/configuration.h"
#include "core/data/dataset.h"
#include "core/parallel/one_rank.h"
#include "core/parallel/stage_coordinator.h"
#include "core/schedule/schedule.h"
#include "core/train/trainer.h"
#include "tests/core/train/tiny_model.h"
#include "tests/support/training.h"

namespace thaw {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();

TEST(FiniteGuardTest, JudgesByLossAndGradients) {
  FiniteGuard stop(NotFinite::kStop, 5);
  EXPECT_FALSE(stop.watches_each_step());
  EXPECT_EQ(stop.judge(1, 1), StepVerdictKind::kCommit);
  EXPECT_EQ(stop.judge(kNan, 1), StepVerdictKind::kStop);
  EXPECT_EQ(stop.judge(1, kInfinity), StepVerdictKind::kStop);

  FiniteGuard skip(NotFinite::kSkip, 2);
  EXPECT_TRUE(skip.watches_each_step());
  EXPECT_EQ(skip.judge(1, kNan), StepVerdictKind::kSkip);
  EXPECT_EQ(skip.judge(-kInfinity, 1), StepVerdictKind::kSkip);
  EXPECT_EQ(skip.skipped(), 2);
  EXPECT_EQ(skip.judge(1, 1), StepVerdictKind::kCommit);  // the count begins again
  EXPECT_EQ(skip.judge(kNan, 1), StepVerdictKind::kSkip);
  EXPECT_EQ(skip.judge(kNan, 1), StepVerdictKind::kSkip);
  EXPECT_EQ(skip.judge(kNan, 1), StepVerdictKind::kStop);

  FiniteGuard back(NotFinite::kGoBack, 1);
  EXPECT_EQ(back.judge(kNan, 1), StepVerdictKind::kSkip);
  EXPECT_EQ(back.judge(kNan, 1), StepVerdictKind::kGoBack);
}

class SkippingTest : public testing::Test {
 protected:
  SkippingTest() : dataset_(prepared_dataset(write_tiny_dataset(folder_, 40, 0))) {
    training_.data.batch = 8;
    train_.optimizer = OptimizerKind::kSgd;
    train_.weight_decay = 0;
    train_.skip_limit = 2;
    training_.schedule.stages = {
        make_stage("all", {"stem", "middle", "head"}, after_epochs(2))};  // 10 steps
  }

  /// Trains with a loss that is no number in the steps of these numbers.
  RunSummary run(TinyModel& model, std::set<int> bad) {
    int step = 0;
    training_.loss = [&](const at::Tensor& outputs, const Batch& batch) {
      const at::Tensor mean = at::cross_entropy_loss(outputs, batch.labels);
      return bad.contains(++step) ? mean * kNan : mean;
    };
    return training_.run(model, dataset_, recorder_);
  }

  TemporaryFolder folder_;
  Dataset dataset_;
  Training training_;
  TrainOptions& train_ = training_.train;
  Recorder recorder_;
};

TEST_F(SkippingTest, ASkippedStepChangesNoWeightAndConsumesItsSamples) {
  train_.not_finite = NotFinite::kSkip;
  TinyModel model;
  EXPECT_EQ(run(model, {3, 4, 7}).steps, 10);
  for (const SkippedReport& skip : recorder_.skips) EXPECT_TRUE(std::isnan(skip.loss));
  EXPECT_EQ(Recorder::each(recorder_.skips, &SkippedReport::step),
            (std::vector<std::int64_t>{3, 4, 7}));
  EXPECT_EQ(Recorder::each(recorder_.steps, &StepReport::step),
            (std::vector<std::int64_t>{1, 2, 5, 6, 8, 9, 10}));
  for (const at::Tensor& parameter : model.parameters()) {
    EXPECT_TRUE(at::equal(parameter, parameter)) << "a NaN equals nothing";
  }
}

TEST_F(SkippingTest, TooManyInARowStopOrGoBack) {
  train_.not_finite = NotFinite::kSkip;
  TinyModel model;
  try {
    run(model, {3, 4, 5});
    FAIL() << "no error";
  } catch (const RunError& error) {
    EXPECT_NE(std::string(error.what()).find("step 5 of stage \"all\": the loss is"),
              std::string::npos)
        << error.what();
    EXPECT_NE(std::string(error.what()).find("after 2 steps that were skipped"), std::string::npos);
    EXPECT_TRUE(error.agreed());
  }
  train_.not_finite = NotFinite::kGoBack;
  TinyModel other;
  const RunSummary summary = run(other, {3, 4, 5});
  EXPECT_TRUE(summary.go_back);
  EXPECT_EQ(summary.steps, 4);
}

}  // namespace
}  // namespace thaw
