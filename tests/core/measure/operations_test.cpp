// Floating-point operations against torch.utils.flop_counter's: what
// tests/core/models/fixtures/make_flop_fixtures.py wrote.
#include "core/measure/operations.h"

#include <ATen/Parallel.h>
#include <ATen/ops/flatten.h>
#include <ATen/ops/relu.h>
#include <gtest/gtest.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/linear.h>

#include "core/data/memory_dataset.h"
#include "core/models/layers/batch_norm.h"
#include "core/models/module_model.h"
#include "core/step/freezer.h"
#include "core/step/parameter_table.h"
#include "core/tasks/task.h"
#include "tests/core/models/bert_fixture.h"

namespace thaw {
namespace {

using nlohmann::json;

json expected_of(const std::string& name) {
  std::ifstream file(source_path("tests/core/models/fixtures/flop_expected.json"));
  const json cases = json::parse(file).at("cases");
  for (const json& each : cases) {
    if (each.at("name") == name) return each;
  }
  throw std::out_of_range(name);
}

/// make_flop_fixtures.py's network of nobody's.
class Own : public torch::nn::Module {
 public:
  Own()
      : low(register_module(
            "low", torch::nn::Conv2d(torch::nn::Conv2dOptions(3, 8, 3).stride(2).padding(1)))),
        up(register_module("up", torch::nn::ConvTranspose2d(
                                     torch::nn::ConvTranspose2dOptions(8, 6, 2).stride(2)))),
        middle(register_module("middle",
                               torch::nn::Conv2d(torch::nn::Conv2dOptions(6, 12, 3).dilation(2)))),
        head(register_module("head", torch::nn::Linear(12 * 12 * 12, 5))) {}
  at::Tensor forward(const at::Tensor& images) {
    const at::Tensor hidden = at::relu(up(low(images)));
    return head(at::flatten(at::relu(middle(hidden)), 1));
  }
  torch::nn::Conv2d low;
  torch::nn::ConvTranspose2d up;
  torch::nn::Conv2d middle;
  torch::nn::Linear head;
};

void expect_as_torch(const json& expected, Model& model, const Dataset& dataset) {
  at::set_num_threads(1);
  const ParameterTable parameters(model, false);
  Freezer freezer(model, parameters, {});
  const BatchNorms batch_norms(model);
  const auto samples = static_cast<double>(dataset.split("train").size());
  const auto task = make_task(dataset);
  for (const json& each : expected.at("stages")) {
    Stage stage;
    stage.name = each.at("active").dump();
    stage.groups = each.at("active").get<std::vector<std::string>>();
    stage.learning_rates.assign(stage.groups.size(), 0.1);
    const Flops flops =
        measure_flops(model, batch_norms, dataset, *task, parameters, freezer, stage, {}, {}) *
        samples;
    const double forward = each.at("forward").get<double>();
    const double backward = each.at("backward").get<double>();
    EXPECT_NEAR(flops.forward, forward, 0.02 * forward) << stage.name;
    EXPECT_NEAR(flops.input_gradients + flops.weight_gradients, backward, 0.02 * backward)
        << stage.name;
    // Embeddings are looked up: their gradient is no product.
    EXPECT_EQ(flops.weight_gradients > 0, stage.groups.back() != "embeddings") << stage.name;
  }
}

TEST(StageFlopsTest, BertAsTorchCounts) {
  const json expected = expected_of("bert");
  const Batch batch = bert_batch(expected);
  const Dataset dataset =
      make_memory_dataset({{"train", batch.inputs.to(at::kInt), batch.labels, batch.offsets}});
  for (const auto type : {at::kFloat, at::kDouble}) {
    expect_as_torch(expected, *bert_of(expected, type), dataset);
  }
}

TEST(StageFlopsTest, ResNetAsTorchCounts) {
  const json expected = expected_of("resnet");
  const Batch batch = fixture_batch(6, 16, 3, 0, at::kFloat);
  const Dataset dataset = make_memory_dataset({{"train", batch.inputs.contiguous(), batch.labels}});
  expect_as_torch(expected, *empty_resnet("resnet-cifar", 8, 3), dataset);
}

TEST(StageFlopsTest, AnOwnModuleAsTorchCounts) {
  const auto module = std::make_shared<Own>();
  ModuleModel model(
      module,
      {{"low", {"low.*"}}, {"up", {"up.*"}}, {"middle", {"middle.*"}}, {"head", {"head.*"}}},
      [&](const Batch& batch) { return module->forward(batch.inputs); });
  const Batch batch = fixture_batch(6, 16, 3, 0, at::kFloat);
  const Dataset dataset = make_memory_dataset({{"train", batch.inputs.contiguous(), batch.labels}});
  expect_as_torch(expected_of("own"), model, dataset);
}

/// A group's kernel meets its own channels only.
TEST(FlopCounterTest, AConvolutionWithGroupsCostsAGroupsShare) {
  torch::nn::Conv2d layer(torch::nn::Conv2dOptions(6, 12, 3).groups(3).bias(false));
  const at::Tensor input = fixture_uniform("input", 1, {2, 6, 5, 5}, -1, 1).set_requires_grad(true);
  const FlopCounter counter(layer->parameters());
  const at::Tensor loss = layer(input).sum();
  {
    const FlopBackward backward;
    loss.backward();
  }
  const double one = 2.0 * (2 * 3 * 3) * (12 * 2 * 3 * 3);
  EXPECT_EQ(counter.flops().forward, one);
  EXPECT_EQ(counter.flops().input_gradients, one);
  EXPECT_EQ(counter.flops().weight_gradients, one);
}

/// [8, 4] times [3, 4]: 192 operations a product.
TEST(FlopCounterTest, TellsGradientsOfWeightsFromThoseOfInputs) {
  torch::nn::Linear first(4, 4), second(4, 3);
  std::vector<at::Tensor> parameters = first->parameters();
  for (const at::Tensor& each : second->parameters()) parameters.push_back(each);
  const at::Tensor input = at::relu(fixture_uniform("input", 1, {8, 4}, -1, 1));
  const FlopCounter counter(parameters);
  const at::Tensor loss = second(first(input)).sum();
  EXPECT_EQ(counter.flops().forward, 2 * 8 * 4 * 4 + 192);
  {
    const FlopBackward backward;
    loss.backward();
  }
  EXPECT_EQ(counter.flops().forward, 2 * 8 * 4 * 4 + 192);
  EXPECT_EQ(counter.flops().input_gradients, 192);
  EXPECT_EQ(counter.flops().weight_gradients, 2 * 8 * 4 * 4 + 192);
}

TEST(StageFlopsTest, MeansOverTheSamplesOfCountedSteps) {
  StageFlops flops;
  EXPECT_EQ(flops.per_sample().total(), 0);
  flops.add({.forward = 10, .input_gradients = 2, .weight_gradients = 4}, 2);
  flops.add({.forward = 20, .input_gradients = 4, .weight_gradients = 8}, 1);
  EXPECT_EQ(flops.per_sample().forward, 10);
  EXPECT_EQ(flops.per_sample().total(), 16);
  EXPECT_TRUE(StageFlops::due(0));
  EXPECT_TRUE(StageFlops::due(1));
  EXPECT_FALSE(StageFlops::due(2));
  EXPECT_TRUE(StageFlops::due(50));
}

}  // namespace
}  // namespace thaw
