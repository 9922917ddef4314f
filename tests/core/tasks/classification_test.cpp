#include <ATen/TensorOperators.h>
#include <ATen/ops/tensor.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "core/base/error.h"
#include "core/data/batch.h"
#include "core/tasks/class_counts.h"
#include "tests/core/tasks/task_of.h"

namespace thaw {
namespace {

using testing::HasSubstr;

Batch batch_of(const std::vector<std::int64_t>& labels) {
  Batch batch;
  batch.labels = at::tensor(labels, at::kLong);
  for (std::size_t i = 0; i < labels.size(); ++i)
    batch.samples.push_back(std::ssize(batch.samples));
  return batch;
}

/// Outputs, a row a sample, that say these of four classes.
at::Tensor saying(const std::vector<std::int64_t>& classes) {
  at::Tensor outputs = at::zeros({std::ssize(classes), 4}, at::kDouble);
  for (std::int64_t i = 0; i < std::ssize(classes); ++i) {
    outputs[i][classes[static_cast<std::size_t>(i)]] = 1;
  }
  return outputs;
}

/// One of two samples of class 0 is said to be of class 1.
const std::vector<std::int64_t> kLabels = {0, 0, 1, 2};
const std::vector<std::int64_t> kSaid = {0, 1, 1, 2};

Measurement measured(const Task& task, const std::vector<std::int64_t>& labels,
                     const std::vector<std::int64_t>& said) {
  Measurement sums = task.nothing(std::ssize(labels));
  task.measure(saying(said), batch_of(labels), sums);
  return sums;
}

TEST(Classification, MeansOverSamples) {
  const auto task = classification_of(4);
  const Measurement sums = measured(*task, kLabels, kSaid);
  EXPECT_EQ(sums.samples, 4);
  EXPECT_EQ(sums.weight, 4);
  // Softmax of a row with one 1: e / (e + 3) for the one, 1 / (e + 3) for the others.
  const double right = std::log(std::exp(1.0) + 3) - 1;
  EXPECT_NEAR(sums.mean_loss(), (3 * right + right + 1) / 4, 1e-12);
  EXPECT_DOUBLE_EQ(task->figures(sums).at(0), 0.75);
  EXPECT_EQ(task->metrics().at(0).name, "accuracy");
  EXPECT_EQ(task->metrics().at(1).name, "macro-f1");
}

TEST(Classification, MacroF1LeavesOutClassesThatDoNotOccur) {
  const auto task = classification_of(4);
  // F1: class 0 2/3, class 1 2/3, class 2 1; class 3 neither occurs nor is said.
  EXPECT_NEAR(task->figures(measured(*task, kLabels, kSaid)).at(1), (2.0 / 3 + 2.0 / 3 + 1) / 3,
              1e-12);
}

TEST(Classification, TellsPrecisionAndRecallOfEachClass) {
  const auto task = classification_of(4);
  EXPECT_EQ(task->details(measured(*task, kLabels, kSaid)),
            "{\"class\":\"0\",\"samples\":2,\"precision\":1.0,\"recall\":0.5,\"f1\":"
            "0.6666666666666666}\n"
            "{\"class\":\"1\",\"samples\":1,\"precision\":0.5,\"recall\":1.0,\"f1\":"
            "0.6666666666666666}\n"
            "{\"class\":\"2\",\"samples\":1,\"precision\":1.0,\"recall\":1.0,\"f1\":1.0}\n"
            "{\"class\":\"3\",\"samples\":0,\"precision\":0.0,\"recall\":0.0,\"f1\":0.0}\n");
}

TEST(Classification, TellsWhichClassesAreTakenForWhichOfAFew) {
  const auto task = classification_of(4);
  EXPECT_EQ(
      task->confusion(measured(*task, kLabels, kSaid)),
      (std::vector<std::vector<double>>{{1, 1, 0, 0}, {0, 1, 0, 0}, {0, 0, 1, 0}, {0, 0, 0, 0}}));
  const auto many = classification_of(257);
  EXPECT_TRUE(many->confusion(many->nothing(1)).empty());
}

TEST(Classification, SumsOfTwoRanksAreTheWhole) {
  const auto task = classification_of(4);
  const Measurement whole = measured(*task, kLabels, kSaid);
  Measurement sums = measured(*task, {0, 0}, {0, 1});
  const Measurement second = measured(*task, {1, 2}, {1, 2});
  sums.loss += second.loss;
  sums.weight += second.weight;
  sums.samples += second.samples;
  for (std::size_t i = 0; i < sums.counts.size(); ++i) sums.counts[i] += second.counts[i];
  EXPECT_DOUBLE_EQ(sums.mean_loss(), whole.mean_loss());
  EXPECT_EQ(task->figures(sums), task->figures(whole));
}

TEST(Classification, NoSamplesGiveZeros) {
  const auto task = classification_of(2);
  const Measurement nothing = task->nothing(0);
  EXPECT_EQ(nothing.mean_loss(), 0);
  EXPECT_EQ(task->figures(nothing), (std::vector<double>{0, 0}));
}

TEST(Classification, ANetworkMayHaveMoreOutputs) {
  const auto task = classification_of(2);
  Measurement sums = task->nothing(2);
  task->measure(saying({3, 1}), batch_of({0, 1}), sums);
  EXPECT_DOUBLE_EQ(task->figures(sums).at(0), 0.5);
}

TEST(Classification, LossIsASumThatSmoothsLabels) {
  const auto task = classification_of(4);
  const at::Tensor outputs = saying({0, 1}).set_requires_grad(true);
  const Batch batch = batch_of({0, 2});
  const double right = std::log(std::exp(1.0) + 3) - 1;
  EXPECT_NEAR(task->loss(outputs, batch, 0).item().toDouble(), 2 * right + 1, 1e-12);
  // The mean over the classes' losses is right + 3/4 in each row.
  EXPECT_NEAR(task->loss(outputs, batch, 0.2).item().toDouble(),
              0.8 * (2 * right + 1) + 0.2 * 2 * (right + 0.75), 1e-12);
  EXPECT_TRUE(task->loss(outputs, batch, 0).requires_grad());
  EXPECT_EQ(task->loss(saying({}), batch_of({}), 0).item().toDouble(), 0);
}

TEST(Classification, PredictsClassAndProbabilities) {
  const auto task = task_of(at::tensor({0, 1}, at::kLong), {.classes = {"cat", "dog"}});
  Batch batch = batch_of({0});
  batch.samples = {7};
  const auto line = nlohmann::json::parse(
      task->predictions(at::tensor({0.0, std::log(3.0)}, at::kDouble).view({1, 2}), batch));
  EXPECT_EQ(line.at("index"), 7);
  EXPECT_EQ(line.at("class"), "dog");
  EXPECT_NEAR(line.at("probabilities").at("cat"), 0.25, 1e-6);
  EXPECT_NEAR(line.at("probabilities").at("dog"), 0.75, 1e-6);
}

TEST(OwnLoss, StandsInPlaceOfTheTasks) {
  const auto task = with_loss(classification_of(4), [](const at::Tensor& outputs, const Batch&) {
    return outputs.sum() / outputs.size(0) * 3;
  });
  EXPECT_EQ(task->loss(saying({0, 1}), batch_of({0, 2}), 0).item().toDouble(), 6);
  const Measurement sums = measured(*task, kLabels, kSaid);
  EXPECT_DOUBLE_EQ(sums.mean_loss(), 3);
  EXPECT_DOUBLE_EQ(task->figures(sums).at(0), 0.75);
  EXPECT_EQ(task->loss(saying({}), batch_of({}), 0).item().toDouble(), 0) << "not called";
}

TEST(OwnLoss, MustBeAScalar) {
  const auto task = with_loss(classification_of(4),
                              [](const at::Tensor& outputs, const Batch&) { return outputs; });
  try {
    task->loss(saying({0, 1}), batch_of({0, 2}), 0);
    ADD_FAILURE() << "no error";
  } catch (const RunError& error) {
    EXPECT_THAT(error.what(), HasSubstr("it must return a scalar"));
  }
}

}  // namespace
}  // namespace thaw
