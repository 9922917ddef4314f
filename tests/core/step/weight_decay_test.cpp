// Who decays, from the table of parameters through the plan to the update.
#include <ATen/ops/full_like.h>
#include <ATen/ops/zeros_like.h>
#include <gtest/gtest.h>

#include <map>

#include "core/config/configuration.h"
#include "core/models/layers/batch_norm.h"
#include "core/schedule/stage_plan.h"
#include "core/step/optimizers/registry.h"
#include "core/step/parameter_table.h"
#include "tests/core/train/tiny_model.h"

namespace thaw {
namespace {

constexpr double kRate = 0.5, kDecay = 0.25;

/// What one update without any gradient multiplies each parameter by, all of which start at 1.
std::map<std::string, double> factors(bool decay_all, OptimizerKind kind) {
  TinyModel model;
  model.layer(1).register_module("norm", std::make_shared<nn::BatchNorm2d>(4));
  model.to(at::kDouble);
  const ParameterTable table(model, decay_all);
  Stage stage;
  stage.groups = table.groups();
  stage.learning_rates.assign(stage.groups.size(), kRate);
  const StagePlan plan = make_stage_plan(table.groups(), table.facts(), stage);
  std::vector<OptimizerClass> classes;
  for (const RateClass& each : plan.rate_classes()) {
    OptimizerClass members{each.rate, each.decays ? kDecay : 0, {}, {}};
    for (const std::size_t index : each.parameters) {
      const std::string& name = plan.parameters()[index].name;
      members.names.push_back(name);
      members.parameters.push_back(table.tensors()[table.index_of(name)]);
    }
    classes.push_back(members);
  }
  const c10::AutoGradMode no_grad(false);
  for (const at::Tensor& tensor : table.tensors()) {
    at::Tensor(tensor).fill_(1);
    tensor.mutable_grad() = at::zeros_like(tensor);
  }
  const auto optimizer = make_optimizer({.optimizer = kind});
  optimizer->enter_stage(classes, {.optimizer = kind, .momentum = 0});
  optimizer->step(1, 1);
  std::map<std::string, double> result;
  for (std::size_t i = 0; i < table.size(); ++i) {
    result[table.facts()[i].name] = table.tensors()[i].flatten()[0].item().toDouble();
  }
  return result;
}

TEST(WeightDecay, SparesBiasesAndNorms) {
  for (std::size_t kind = 0; kind < kOptimizerNames.size(); ++kind) {
    SCOPED_TRACE(kOptimizerNames[kind]);
    for (const auto& [name, factor] : factors(false, static_cast<OptimizerKind>(kind))) {
      const bool weight = name.ends_with("weight") && name.find("norm") == std::string::npos;
      EXPECT_NEAR(factor, weight ? 1 - kRate * kDecay : 1, 1e-15) << name;
    }
  }
}

TEST(WeightDecay, TakesThemTooWhereAsked) {
  const auto found = factors(true, OptimizerKind::kAdamW);
  ASSERT_EQ(found.size(), 8U);
  for (const auto& [name, factor] : found) EXPECT_NEAR(factor, 1 - kRate * kDecay, 1e-15) << name;
}

}  // namespace
}  // namespace thaw
