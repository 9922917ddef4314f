#include <ATen/ops/stack.h>
#include <ATen/ops/tensor.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "core/base/error.h"
#include "core/data/batch.h"
#include "tests/core/tasks/task_of.h"

namespace thaw {
namespace {

using testing::HasSubstr;

// Predictions and what is right of six samples, two targets; with equal values in the first. What
// they come to was computed by numpy.
const std::vector<double> kFirst = {0.5, 2.0, 2.0, -1.0, 3.5, 0.25};
const std::vector<double> kSecond = {1.0, 0.0, 2.0, 1.0, 0.5, 4.0};
const std::vector<float> kFirstRight = {1.0, 2.5, 1.5, -1.0, 3.0, -2.0};
const std::vector<float> kSecondRight = {0.0, 0.0, 1.0, 2.0, -1.0, 3.0};

at::Tensor outputs() {
  return at::stack({at::tensor(kFirst, at::kDouble), at::tensor(kSecond, at::kDouble)}, 1)
      .contiguous();
}
at::Tensor labels() {
  return at::stack({at::tensor(kFirstRight), at::tensor(kSecondRight)}, 1).contiguous();
}
Batch batch_of(std::int64_t first, std::int64_t last) {
  Batch batch;
  batch.labels = labels().slice(0, first, last);
  for (std::int64_t i = first; i < last; ++i) batch.samples.push_back(i);
  return batch;
}

/// Samples [first, last), as the rank that has them measures them.
Measurement measured(const Task& task, std::int64_t first, std::int64_t last) {
  Measurement sums = task.nothing(6);
  task.measure(outputs().slice(0, first, last), batch_of(first, last), sums);
  return sums;
}

TEST(Regression, FollowsFromNumbers) {
  const auto task = task_of(labels());
  EXPECT_EQ(task->kind(), TaskKind::kRegression);
  EXPECT_EQ(task->outputs(), 2);
  EXPECT_EQ(task_of(at::tensor(kFirstRight))->outputs(), 1);
  EXPECT_THAT(task->metric_names().all(),
              testing::ElementsAre("train/loss", "validation/loss", "validation/pearson",
                                   "validation/spearman", "validation/rmse"));
  EXPECT_EQ(task->metric_names().find("validation/rmse")->better, MetricRule::Mode::kMin);
}

TEST(Regression, LossIsTheMeanSquaredError) {
  const auto task = task_of(labels());
  EXPECT_NEAR(measured(*task, 0, 6).mean_loss(), 1.0260416666666667, 1e-12);
  const at::Tensor trained = outputs().set_requires_grad(true);
  const at::Tensor loss = task->loss(trained, batch_of(0, 6), 0);
  EXPECT_NEAR(loss.item().toDouble(), 6 * 1.0260416666666667, 1e-12) << "the sum over samples";
  loss.backward();
  EXPECT_NEAR(trained.grad()[0][0].item().toDouble(), 0.5 - 1.0, 1e-12);
  Batch none = batch_of(0, 0);
  EXPECT_EQ(task->loss(outputs().narrow(0, 0, 0), none, 0).item().toDouble(), 0);
}

TEST(Regression, FiguresAreThoseOfNumpy) {
  const auto one = task_of(at::tensor(kFirstRight));
  Measurement sums = one->nothing(6);
  Batch batch = batch_of(0, 6);
  batch.labels = batch.labels.slice(1, 0, 1).contiguous();
  one->measure(outputs().slice(1, 0, 1), batch, sums);
  const std::vector<double> first = one->figures(sums);
  EXPECT_NEAR(first.at(0), 0.8554558218685653, 1e-12);
  EXPECT_NEAR(first.at(1), 0.9276336570439175, 1e-12) << "equal values share their ranks' mean";
  EXPECT_NEAR(first.at(2), 1.005194840151235, 1e-12);

  const auto both = task_of(labels());
  const std::vector<double> figures = both->figures(measured(*both, 0, 6));
  EXPECT_NEAR(figures.at(0), 0.8279044810681979, 1e-12);
  EXPECT_NEAR(figures.at(1), 0.8535227108749, 1e-12);
  EXPECT_NEAR(figures.at(2), 1.0129371484286016, 1e-12);
}

/// A correlation of ranks is no mean of those of parts.
TEST(Regression, RanksHaveTheWholeSplitsFigures) {
  const auto task = task_of(labels());
  const Measurement whole = measured(*task, 0, 6);
  Measurement sums = measured(*task, 0, 2);
  for (const Measurement& other : {measured(*task, 2, 3), measured(*task, 3, 6)}) {
    sums.samples += other.samples;
    for (std::size_t i = 0; i < sums.rows.size(); ++i) sums.rows[i] += other.rows[i];
  }
  EXPECT_EQ(sums.rows, whole.rows);
  EXPECT_EQ(task->figures(sums), task->figures(whole));
}

TEST(Regression, WhatHasNoCorrelationHasNone) {
  const auto task = task_of(at::tensor(kFirstRight));
  for (const double value : {1.0, std::nan(""), std::numeric_limits<double>::infinity()}) {
    Measurement sums = task->nothing(6);
    Batch batch = batch_of(0, 6);
    batch.labels = batch.labels.slice(1, 0, 1).contiguous();
    task->measure(at::zeros({6, 1}, at::kDouble).add_(value), batch, sums);
    EXPECT_EQ(task->figures(sums).at(0), 0) << value;
    EXPECT_EQ(task->figures(sums).at(1), 0) << value;
  }
}

TEST(Regression, TellsEachTarget) {
  const auto task = task_of(labels(), {.targets = {"x", "y"}});
  const std::string lines = task->details(measured(*task, 0, 6));
  const auto first = nlohmann::json::parse(lines.substr(0, lines.find('\n')));
  EXPECT_EQ(first.at("target"), "x");
  EXPECT_EQ(first.at("samples"), 6);
  EXPECT_NEAR(first.at("spearman"), 0.9276336570439175, 1e-12);
  EXPECT_THAT(lines, HasSubstr("\n{\"target\":\"y\","));
}

TEST(Regression, PredictsValuesByTarget) {
  const auto task = task_of(labels(), {.targets = {"x", "y"}});
  EXPECT_THAT(task->predictions(outputs(), batch_of(0, 6)),
              HasSubstr("{\"index\":4,\"values\":{\"x\":3.5,\"y\":0.5}}\n"));
  EXPECT_THAT(
      task_of(at::tensor(kFirstRight))->predictions(outputs().slice(1, 0, 1), batch_of(0, 6)),
      HasSubstr("{\"index\":4,\"values\":{\"value\":3.5}}\n"));
}

/// A column of outputs would be stretched over two of labels.
TEST(Regression, RefusesOutputsOfAnotherShape) {
  const auto task = task_of(labels());
  EXPECT_THROW(task->loss(outputs().slice(1, 0, 1), batch_of(0, 6), 0), RunError);
}

}  // namespace
}  // namespace thaw
