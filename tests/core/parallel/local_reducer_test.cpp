#include <ATen/ops/ones.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/base/error.h"
#include "core/parallel/one_rank.h"
#include "core/schedule/stage_plan.h"

namespace thaw {
namespace {

using ::testing::HasSubstr;

struct TwoLayers {
  at::Tensor lower = at::ones({2});
  at::Tensor upper = at::ones({2}).set_requires_grad(true);
  std::vector<std::string> groups = {"lower", "upper"};
  std::vector<ParameterFacts> facts = {{"lower.weight", {2}, ElementType::kFloat32, 0, true},
                                       {"upper.weight", {2}, ElementType::kFloat32, 1, true}};

  std::vector<NamedTensor> parameters() const {
    return {{"lower.weight", lower}, {"upper.weight", upper}};
  }
  StagePlan plan() const {
    Stage stage;
    stage.name = "upper";
    stage.groups = {"upper"};
    stage.learning_rates = {0.1};
    return make_stage_plan(groups, facts, stage);
  }
};

TEST(LocalCoordinator, LeavesGradientsAsAutogradMadeThem) {
  TwoLayers model;
  const auto reducer = make_local_coordinator()->enter(model.plan(), model.parameters());
  for (int step = 0; step < 2; ++step) {
    reducer->begin({4, 4});
    EXPECT_FALSE(model.upper.grad().defined());
    model.upper.mul(model.lower).sum().backward();
    reducer->last_backward();
    model.upper.mul(model.lower).sum().backward();
    reducer->finish();
    EXPECT_TRUE(model.upper.grad().equal(at::ones({2}).mul(2)));
  }
}

TEST(LocalCoordinator, NoticesAParameterThawedBehindItsBack) {
  TwoLayers model;
  const auto reducer = make_local_coordinator()->enter(model.plan(), model.parameters());
  reducer->begin({4, 4});
  model.lower.set_requires_grad(true);
  try {
    reducer->finish();
    FAIL() << "not noticed";
  } catch (const ReductionMismatch& error) {
    EXPECT_EQ(error.status(), ExitStatus::kDisagreement);
    EXPECT_THAT(error.what(), HasSubstr("\"lower.weight\" is not active"));
  }
}

TEST(LocalCoordinator, NoticesAParameterFrozenBehindItsBack) {
  TwoLayers model;
  const auto reducer = make_local_coordinator()->enter(model.plan(), model.parameters());
  reducer->begin({4, 4});
  model.upper.set_requires_grad(false);
  EXPECT_THROW(reducer->finish(), ReductionMismatch);
}

TEST(LocalCoordinator, RefusesAPlanOfAnotherModel) {
  TwoLayers model;
  const auto refuse = [&](const StagePlan& plan) -> std::string {
    try {
      make_local_coordinator()->enter(plan, model.parameters());
    } catch (const InputError& error) {
      return error.what();
    }
    return "no error";
  };
  TwoLayers other;
  other.facts[1].shape = {3};
  EXPECT_THAT(refuse(other.plan()), HasSubstr("as float32 [3], but it is float32 [2] on cpu"));
  other.facts[1] = {"upper.bias", {2}, ElementType::kFloat32, 1, true};
  EXPECT_THAT(refuse(other.plan()), HasSubstr("\"upper.bias\", which the model lacks"));
}

}  // namespace
}  // namespace thaw
