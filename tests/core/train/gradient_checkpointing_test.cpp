// Gradient checkpointing in one forward and backward: the same gradients, running statistics and
// draws as without, in less memory.
#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <ATen/ops/dropout.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/linear.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/nn/modules/batchnorm.h>

#include <functional>
#include <map>

#include "core/base/error.h"
#include "core/data/memory_dataset.h"
#include "core/kernels/random/draw_scope.h"
#include "core/measure/operations.h"
#include "core/models/layers/batch_norm.h"
#include "core/models/layers/recomputation.h"
#include "core/models/module_model.h"
#include "core/parallel/one_rank.h"
#include "core/schedule/stage_plan.h"
#include "core/step/freezer.h"
#include "core/step/gradient_pass.h"
#include "core/step/parameter_table.h"
#include "tests/core/tasks/task_of.h"
#include "tests/core/train/tiny_model.h"
#include "tests/support/peak_bytes.h"
#include "tests/support/small_networks.h"

namespace thaw {
namespace {

using Tensors = std::map<std::string, at::Tensor>;

constexpr std::int64_t kClasses = 5;

struct Network {
  std::shared_ptr<Model> model;
  Batch batch;
};

Network bert(std::int64_t layers = 4, std::int64_t samples = 12) {
  std::vector<std::vector<std::int64_t>> tokens;
  for (std::int64_t n = 0; n < samples; ++n) {
    tokens.emplace_back();
    for (std::int64_t t = 0; t < 5 + 7 * n % 30; ++t)
      tokens.back().push_back(1 + (11 * t + n) % 49);
  }
  return {small_network(/*text=*/true, layers, kClasses), packed_batch(tokens, kClasses)};
}

Network resnet(const std::string& architecture, std::int64_t depth, std::int64_t samples = 6) {
  Network network{empty_resnet(architecture, depth, kClasses),
                  fixture_batch(samples, 32, kClasses, 0, at::kFloat)};
  fill_by_formula(*network.model);
  return network;
}

/// A step's forward and backward, as the trainer runs them.
class Pass {
 public:
  Pass(Network network, const std::vector<std::string>& groups)
      : network_(std::move(network)), parameters_(*network_.model, false) {
    Stage stage;
    stage.groups = groups;
    stage.learning_rates.assign(groups.size(), 0.1);
    const StagePlan plan = make_stage_plan(parameters_.groups(), parameters_.facts(), stage);
    cut_ = plan.cut();
    std::set<std::string> active;
    for (const ParameterFacts& parameter : plan.parameters()) active.insert(parameter.name);
    Freezer(*network_.model, parameters_, {}).apply(active);
    network_.model->weights_changed();
    for (std::size_t i = 0; i < parameters_.size(); ++i) {
      const std::string& name = parameters_.facts()[i].name;
      (active.contains(name) ? active_ : frozen_).push_back({name, parameters_.tensors()[i]});
    }
  }

  /// Gradients, buffers and the loss.
  Tensors run(std::int64_t micro_batch = 0, std::uint64_t seed = 3) {
    const auto reducer = make_local_reducer(active_, frozen_);
    const BatchNorms batch_norms(*network_.model);
    GradientPass pass(*network_.model, batch_norms,
                      {.task = task_.get(), .micro_batch = {micro_batch}, .seed = seed});
    const SampleShare share{network_.batch.size(), network_.batch.size()};
    reducer->begin(share);
    Tensors found = {{"loss", pass.run(network_.batch, share, static_cast<double>(share.total),
                                       cut_, *reducer)}};
    reducer->finish();
    for (const NamedTensor& parameter : active_) {
      EXPECT_TRUE(parameter.tensor.grad().defined()) << parameter.name;
      found["gradient of " + parameter.name] = parameter.tensor.grad();
    }
    for (const auto& buffer : network_.model->named_buffers()) {
      found[buffer.key()] = buffer.value().clone();
    }
    return found;
  }

 private:
  Network network_;
  ParameterTable parameters_;
  std::size_t cut_ = 0;
  std::vector<NamedTensor> active_, frozen_;
  std::shared_ptr<const Task> task_ = classification_of(kClasses);
};

void expect_same_bits(const Tensors& found, const Tensors& expected) {
  ASSERT_EQ(found.size(), expected.size());
  for (const auto& [name, tensor] : expected) {
    EXPECT_TRUE(at::equal(found.at(name), tensor)) << name;
  }
}

/// `make` builds equal networks; stages as a top-down schedule has them, and with holes.
void expect_the_same_with_and_without(const std::function<Network()>& make,
                                      const std::vector<std::vector<std::string>>& stages) {
  at::set_num_threads(1);
  for (const std::vector<std::string>& groups : stages) {
    for (const std::int64_t micro_batch : {0, 4}) {
      SCOPED_TRACE(testing::PrintToString(groups) + " " + std::to_string(micro_batch));
      const Tensors plain = Pass(make(), groups).run(micro_batch);
      Network network = make();
      network.model->set_gradient_checkpointing(true);
      expect_same_bits(Pass(network, groups).run(micro_batch), plain);
    }
  }
}

const std::vector<std::vector<std::string>> kBertStages = {
    {"head"},
    {"encoder.3", "head"},
    {"encoder.2", "encoder.3", "head"},
    {"encoder.1", "encoder.3"},
    {"embeddings", "encoder.0", "encoder.1", "encoder.2", "encoder.3", "head"}};
const std::vector<std::vector<std::string>> kResNetStages = {
    {"head"},
    {"layer3", "head"},
    {"layer2", "layer3", "head"},
    {"layer1", "head"},
    {"stem", "layer1", "layer2", "layer3", "head"}};

TEST(GradientCheckpointing, BertsGradientsStayTheSameBits) {
  for (const at::ScalarType type : {at::kFloat, at::kDouble, at::kBFloat16}) {
    SCOPED_TRACE(c10::toString(type));
    expect_the_same_with_and_without(
        [type] {
          Network network = bert();
          if (type == at::kBFloat16) {
            network.model->set_precision(type);
          } else {
            network.model->to(type);
          }
          return network;
        },
        kBertStages);
  }
}

TEST(GradientCheckpointing, ResNetsGradientsAndStatisticsStayTheSameBits) {
  for (const at::ScalarType type : {at::kFloat, at::kDouble, at::kBFloat16}) {
    SCOPED_TRACE(c10::toString(type));
    expect_the_same_with_and_without(
        [type] {
          Network network = resnet("resnet-cifar", 14);
          if (type == at::kBFloat16) {
            network.model->set_precision(type);
          } else {
            network.model->to(type);
          }
          return network;
        },
        kResNetStages);
  }
}

TEST(GradientCheckpointing, SoDoThoseOfBottlenecksAndProjections) {
  expect_the_same_with_and_without([] { return resnet("resnet", 50, 5); },
                                   {{"layer3", "layer4", "head"}});
}

// What the tests above must notice: a first block behind the prefix, dropout that is on, statistics
// that move.
TEST(GradientCheckpointing, HasSomethingToKeepTheSame) {
  const auto changed = [](Network network, const std::vector<std::string>& groups) {
    const Tensors before = Pass(network, groups).run();
    return std::pair(before, Pass(network, groups).run());
  };
  const auto [first, second] = changed(resnet("resnet-cifar", 14), {"layer2", "layer3", "head"});
  EXPECT_FALSE(
      at::equal(first.at("layer2.0.bn1.running_mean"), second.at("layer2.0.bn1.running_mean")));
  EXPECT_EQ(second.at("layer2.0.bn1.num_batches_tracked").item<std::int64_t>(),
            first.at("layer2.0.bn1.num_batches_tracked").item<std::int64_t>() + 1);
  EXPECT_TRUE(
      at::equal(first.at("layer1.0.bn1.running_mean"), second.at("layer1.0.bn1.running_mean")));
  EXPECT_GT(first.at("gradient of layer2.0.conv1.weight").abs().max().item<double>(), 0);
  Pass pass(bert(), {"encoder.3", "head"});
  const at::Tensor dropped = pass.run().at("loss");
  EXPECT_FALSE(at::equal(pass.run(/*micro_batch=*/0, /*seed=*/4).at("loss"), dropped));
}

std::int64_t peak_bytes(const Network& network, const std::vector<std::string>& groups) {
  at::set_num_threads(1);
  Pass pass(network, groups);
  pass.run();  // whatever is made once
  return peak_bytes_of([&] { pass.run(); });
}

TEST(GradientCheckpointing, HoldsOneLayersActivationsAtATime) {
  Network deep = bert(/*layers=*/12, /*samples=*/96);
  std::vector<std::string> upper = {"head"};
  for (int layer = 4; layer < 12; ++layer) upper.push_back("encoder." + std::to_string(layer));
  const std::int64_t plain = peak_bytes(deep, upper);
  deep.model->set_gradient_checkpointing(true);
  const std::int64_t less = peak_bytes(deep, upper);
  EXPECT_LT(less, plain / 3) << plain;
  RecordProperty("bert_plain_bytes", std::to_string(plain));
  RecordProperty("bert_checkpointed_bytes", std::to_string(less));

  Network blocks = resnet("resnet-cifar", 56, 16);
  const std::int64_t plain_blocks = peak_bytes(blocks, kResNetStages.back());
  blocks.model->set_gradient_checkpointing(true);
  const std::int64_t less_blocks = peak_bytes(blocks, kResNetStages.back());
  EXPECT_LT(less_blocks, plain_blocks / 2) << plain_blocks;
  RecordProperty("resnet_plain_bytes", std::to_string(plain_blocks));
  RecordProperty("resnet_checkpointed_bytes", std::to_string(less_blocks));
}

TEST(GradientCheckpointing, CostsAForwardOfWhatBackwardReaches) {
  at::set_num_threads(1);
  const Network network = bert();
  const Dataset dataset = make_memory_dataset(
      {{"train", network.batch.inputs.to(at::kInt), network.batch.labels, network.batch.offsets}});
  const ParameterTable parameters(*network.model, false);
  Freezer freezer(*network.model, parameters, {});
  const BatchNorms batch_norms(*network.model);
  const auto measured = [&](bool on, std::vector<std::string> groups) {
    network.model->set_gradient_checkpointing(on);
    Stage stage;
    stage.learning_rates.assign(groups.size(), 0.1);
    stage.groups = std::move(groups);
    return measure_flops(*network.model, batch_norms, dataset, *make_task(dataset), parameters,
                         freezer, stage, {}, {});
  };
  const Flops plain = measured(false, {"encoder.2", "encoder.3", "head"});
  const Flops again = measured(true, {"encoder.2", "encoder.3", "head"});
  EXPECT_NEAR(again.forward, 1.5 * plain.forward, 0.01 * plain.forward) << "two layers of four";
  EXPECT_EQ(again.input_gradients, plain.input_gradients);
  EXPECT_EQ(again.weight_gradients, plain.weight_gradients);
  EXPECT_EQ(measured(true, {"head"}).forward, measured(false, {"head"}).forward);
}

TEST(GradientCheckpointing, IsRefusedWhereAModelDoesNotHaveIt) {
  TinyModel model;
  EXPECT_NO_THROW(model.set_gradient_checkpointing(false));
  EXPECT_THROW(model.set_gradient_checkpointing(true), InputError);
}

/// A layer of somebody's, used twice, that draws from LibTorch's generator.
struct OwnLayer : torch::nn::Module {
  OwnLayer() : layer(register_module("layer", std::make_shared<TinyLayer>(8, 8, 0))) {}
  at::Tensor forward(const at::Tensor& input) {
    return at::dropout(at::relu(layer->forward(input)), 0.5, /*train=*/true);
  }
  std::shared_ptr<TinyLayer> layer;
};

TEST(Recomputed, ServesModulesOfOnesOwn) {
  at::set_num_threads(1);
  const auto own = std::make_shared<OwnLayer>();
  const at::Tensor data = fixture_uniform("data", 1, {6, 8}, -1, 1);
  const auto gradient = [&](bool twice, bool recomputes) {
    own->zero_grad();
    at::Generator generator = at::globalContext().defaultGenerator(at::kCPU);
    generator.set_current_seed(7);
    at::Tensor hidden = data;
    for (int use = 0; use < (twice ? 2 : 1); ++use) {
      const auto segment = [own](const at::Tensor& input) { return own->forward(input); };
      hidden = recomputes ? recomputed(hidden, *own, segment) : segment(hidden);
    }
    at::dropout(hidden, 0.5, true).sum().backward();
    return own->layer->weight.grad().clone();
  };
  for (const bool twice : {false, true}) {
    const at::Tensor plain = gradient(twice, false);
    EXPECT_GT(plain.abs().max().item<double>(), 0);
    EXPECT_TRUE(at::equal(gradient(twice, true), plain)) << twice;
  }
}

TEST(Recomputed, RunsOnceWhereNothingIsRecorded) {
  const auto own = std::make_shared<OwnLayer>();
  int runs = 0;
  const auto segment = [&](const at::Tensor& input) {
    EXPECT_EQ(SegmentRun::current(), nullptr);
    ++runs;
    return own->layer->forward(input);
  };
  const at::Tensor data = fixture_uniform("data", 1, {6, 8}, -1, 1);
  {
    const at::NoGradGuard no_grad;
    EXPECT_FALSE(recomputed(data, *own, segment).requires_grad());
  }
  for (const at::Tensor& parameter : own->parameters()) parameter.set_requires_grad(false);
  EXPECT_FALSE(recomputed(data, *own, segment).requires_grad());
  EXPECT_EQ(runs, 2);
}

TEST(Recomputed, NoticesAWriteBetweenTheRuns) {
  const auto own = std::make_shared<OwnLayer>();
  const at::Tensor data = fixture_uniform("data", 1, {6, 8}, -1, 1);
  const at::Tensor out =
      recomputed(data, *own, [own](const at::Tensor& input) { return own->layer->forward(input); });
  {
    const at::NoGradGuard no_grad;
    own->layer->weight.add_(1);
  }
  EXPECT_THROW(out.sum().backward(), std::exception);
}

TEST(Recomputed, RefusesABatchNormThatWouldCountTwice) {
  struct Other : torch::nn::Module {
    Other() : norm(register_module("norm", torch::nn::BatchNorm2d(3))) {}
    torch::nn::BatchNorm2d norm;
  };
  const auto other = std::make_shared<Other>();
  const at::Tensor data = fixture_uniform("data", 1, {2, 3, 4, 4}, -1, 1);
  EXPECT_THAT(
      [&] {
        recomputed(data, *other, [other](const at::Tensor& input) { return other->norm(input); });
      },
      testing::ThrowsMessage<InputError>(testing::HasSubstr("\"norm\" is a batch normalisation")));
}

}  // namespace
}  // namespace thaw
