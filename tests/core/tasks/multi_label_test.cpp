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

/// Labels and outputs of five samples of three classes; no sample is said to have the last.
const std::vector<std::int64_t> kLabels = {1, 0, 0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 1, 1, 0};
const std::vector<double> kOutputs = {2, -1, -3, 1, -2, -1, 1, 3, -1, -1, -1, -1, 1, 2, -2};

at::Tensor labels() { return at::tensor(kLabels, at::kLong).to(at::kByte).view({5, 3}); }
at::Tensor outputs() { return at::tensor(kOutputs, at::kDouble).view({5, 3}); }

std::shared_ptr<const Task> task() {
  return task_of(labels(), {.classes = {"red", "round", "sweet"}});
}

Batch batch() {
  Batch batch;
  batch.labels = labels();
  batch.samples = {0, 1, 2, 3, 4};
  return batch;
}

Measurement measured() {
  Measurement sums = task()->nothing(5);
  task()->measure(outputs(), batch(), sums);
  return sums;
}

/// The mean over all flags of log(1 + exp(-s x)), s being 1 for a flag and -1 for none.
double mean_loss() {
  double sum = 0;
  for (std::size_t i = 0; i < kLabels.size(); ++i) {
    sum += std::log1p(std::exp(kLabels[i] == 1 ? -kOutputs[i] : kOutputs[i]));
  }
  return sum / static_cast<double>(kLabels.size());
}

TEST(MultiLabel, FollowsFromFlags) {
  EXPECT_EQ(task()->kind(), TaskKind::kMultiLabel);
  EXPECT_EQ(task()->outputs(), 3);
  EXPECT_THAT(task()->metric_names().all(),
              testing::ElementsAre("train/loss", "validation/loss", "validation/micro-f1",
                                   "validation/macro-f1"));
}

TEST(MultiLabel, LossIsTheBinaryCrossEntropy) {
  EXPECT_NEAR(measured().mean_loss(), mean_loss(), 1e-12);
  const at::Tensor trained = outputs().set_requires_grad(true);
  const at::Tensor loss = task()->loss(trained, batch(), 0);
  EXPECT_NEAR(loss.item().toDouble(), 5 * mean_loss(), 1e-12) << "the sum over samples";
  loss.backward();
  // The gradient of a flag's loss is its probability minus the flag.
  EXPECT_NEAR(trained.grad()[0][0].item().toDouble(), (1 / (1 + std::exp(-2.0)) - 1) / 3, 1e-12);
  EXPECT_NEAR(trained.grad()[0][1].item().toDouble(), 1 / (1 + std::exp(1.0)) / 3, 1e-12);
  Batch none;
  none.labels = labels().narrow(0, 0, 0);
  EXPECT_EQ(task()->loss(outputs().narrow(0, 0, 0), none, 0).item().toDouble(), 0);
}

// "red": has 3, said 4, both 3. "round": has 3, said 2, both 2. "sweet": neither.
TEST(MultiLabel, MicroAndMacroF1) {
  const std::vector<double> figures = task()->figures(measured());
  EXPECT_NEAR(figures.at(0), 2 * 5.0 / 12, 1e-12);
  EXPECT_NEAR(figures.at(1), (2 * 3.0 / 7 + 2 * 2.0 / 5) / 2, 1e-12);
}

TEST(MultiLabel, TellsEachClass) {
  EXPECT_THAT(task()->details(measured()),
              HasSubstr("{\"class\":\"red\",\"samples\":3,\"precision\":0.75,\"recall\":1.0,"));
}

TEST(MultiLabel, PredictsWhatIsMoreLikelyThanNot) {
  const std::string lines = task()->predictions(outputs(), batch());
  const auto first = nlohmann::json::parse(lines.substr(0, lines.find('\n')));
  EXPECT_EQ(first.at("index"), 0);
  EXPECT_EQ(first.at("classes"), nlohmann::json({"red"}));
  EXPECT_NEAR(first.at("probabilities").at("round"), 1 / (1 + std::exp(1.0)), 1e-6);
  EXPECT_THAT(lines, HasSubstr("{\"index\":3,\"classes\":[],"));
}

TEST(MultiLabel, RefusesOutputsOfAnotherShape) {
  EXPECT_THROW(task()->loss(outputs().narrow(1, 0, 1), batch(), 0), RunError);
}

}  // namespace
}  // namespace thaw
