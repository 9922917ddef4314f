// Who decays, from the table of parameters through the plan to the update.
#include <ATen/ops/arange.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/zeros_like.h>
#include <gtest/gtest.h>

#include <map>

#include "core/config/configuration.h"
#include "core/data/memory_dataset.h"
#include "core/models/layers/batch_norm.h"
#include "core/models/module_model.h"
#include "core/schedule/stage_plan.h"
#include "core/step/optimizers/registry.h"
#include "core/step/parameter_table.h"
#include "tests/core/train/tiny_model.h"
#include "tests/support/training.h"

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

/// A matrix, and what counts as a bias and a norm, each element 1 and each in use.
struct ScaledNet : torch::nn::Module {
  ScaledNet() {
    const auto ones = [](at::IntArrayRef shape) { return at::ones(shape, at::kDouble); };
    weight = register_parameter("linear_weight", ones({3, 4}));
    bias = register_parameter("linear_bias", ones({3}));
    scale = register_parameter("norm_weight", ones({3}));
    shift = register_parameter("norm_bias", ones({3}));
  }
  at::Tensor forward(const at::Tensor& images) {
    return at::linear(images.flatten(1), weight, bias) * scale + shift;
  }
  at::Tensor weight, bias, scale, shift;
};

/// What two steps of a whole run, without any gradient, leave of the ones.
Weights trained(OptimizerKind kind, bool decay_all, std::map<std::string, OptionValue> overrides) {
  const auto net = std::make_shared<ScaledNet>();
  ModuleModel model(net, {{"all", {"*"}}},
                    [&](const Batch& batch) { return net->forward(batch.inputs); });
  const Dataset dataset =
      make_memory_dataset({{"train", at::ones({6, 1, 2, 2}), at::arange(6).remainder(3)}});
  Training training{.schedule = {{make_stage("all", {"all"}, after_steps(2), kRate)}}};
  training.schedule.stages[0].overrides = std::move(overrides);
  training.data.batch = 3;
  training.train.optimizer = kind;
  training.train.momentum = 0;
  training.train.weight_decay = kDecay;
  training.train.decay_norms_and_biases = decay_all;
  training.loss = [](const at::Tensor& outputs, const Batch&) { return outputs.sum() * 0; };
  Recorder heard;
  training.run(model, dataset, heard);
  return weights_of(*net);
}

TEST(WeightDecay, OfAWholeRunIsOfMatricesAlone) {
  for (std::size_t kind = 0; kind < kOptimizerNames.size(); ++kind) {
    SCOPED_TRACE(kOptimizerNames[kind]);
    for (const bool decay_all : {false, true}) {
      const Weights after = trained(static_cast<OptimizerKind>(kind), decay_all, {});
      ASSERT_EQ(after.size(), 4U);
      for (const auto& [name, tensor] : after) {
        // (1 - 0.5 * 0.25)^2
        const double expected = decay_all || name == "linear_weight" ? 0.765625 : 1;
        EXPECT_LT((tensor - expected).abs().max().item().toDouble(), 1e-15) << name;
      }
    }
  }
}

TEST(WeightDecay, OfAStageIsOfMatricesAloneToo) {
  for (const auto& [name, tensor] :
       trained(OptimizerKind::kAdamW, false, {{"weight-decay", 0.5}})) {
    const double expected = name == "linear_weight" ? 0.5625 : 1;  // (1 - 0.5 * 0.5)^2
    EXPECT_LT((tensor - expected).abs().max().item().toDouble(), 1e-15) << name;
  }
}

}  // namespace
}  // namespace thaw
