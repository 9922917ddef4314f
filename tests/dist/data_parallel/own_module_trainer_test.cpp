// The Trainer with a module, a loss and data of somebody's own: any number of ranks trains alike.
#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cross_entropy_loss.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/mse_loss.h>
#include <ATen/ops/one_hot.h>
#include <ATen/ops/tanh.h>
#include <gtest/gtest.h>

#include "core/config/configuration_document.h"
#include "core/data/batch.h"
#include "core/data/memory_dataset.h"
#include "core/models/module_model.h"
#include "core/parallel/agreement.h"
#include "core/schedule/resolve_schedule.h"
#include "core/tasks/task.h"
#include "dist/communicator/in_process/in_process.h"
#include "dist/coordination/unfreezing_coordinator.h"
#include "tests/dist/communicator/communicator_contract.h"
#include "tests/dist/reduction/small_network.h"
#include "tests/support/training.h"

namespace thaw {
namespace {

struct Layer : torch::nn::Module {
  Layer(std::int64_t inputs, std::int64_t outputs, int seed) {
    const at::Tensor values = at::arange(inputs * outputs, at::kDouble).add(seed).sin();
    weight = register_parameter("weight", values.view({outputs, inputs}).mul(0.4));
  }
  at::Tensor weight;
};

struct OwnNet : torch::nn::Module {
  explicit OwnNet(int seed) {
    lower = register_module("lower", std::make_shared<Layer>(4, 6, seed));
    head = register_module("head", std::make_shared<Layer>(6, 3, seed + 1));
  }
  at::Tensor forward(const at::Tensor& images) {
    return at::linear(at::tanh(at::linear(images.flatten(1), lower->weight)), head->weight);
  }
  std::shared_ptr<Layer> lower, head;
};

at::Tensor own_loss(const at::Tensor& outputs, const Batch& batch) {
  return at::mse_loss(outputs, at::one_hot(batch.labels, 3).to(outputs.scalar_type()));
}

struct Outcome {
  std::vector<at::Tensor> weights;
  double validation_loss = 0;
};

at::Tensor classes() { return at::arange(37, at::kLong).remainder(3); }

/// What is trained on.
struct Goal {
  LossFunction loss = {};
  std::shared_ptr<const Task> task = {};
  at::Tensor labels = classes();
};

/// 37 = 3 · 12 + 1 samples: an epoch's last batch holds one, which leaves ranks without any.
Outcome train(Communicator& communicator, const Goal& goal) {
  const at::Tensor pixels = at::arange(37 * 4, at::kFloat).sin().view({37, 1, 2, 2});
  const at::Tensor& labels = goal.labels;
  const Dataset dataset = make_memory_dataset(
      {{"train", pixels, labels}, {"validation", pixels.slice(0, 0, 10), labels.slice(0, 0, 10)}});
  const auto net = std::make_shared<OwnNet>(communicator.rank());
  ModuleModel model(net, {{"lower", {"lower.*"}}, {"head", {"head.*"}}},
                    [&](const Batch& batch) { return net->forward(batch.inputs); });
  model.to(at::kDouble);
  make_replicas(communicator, model);
  const ConfigurationDocument document = parse_partial_configuration(
      "[data]\nbatch = 12\n"
      "[schedule]\npreset = \"top-down\"\nstage-epochs = 2\nlearning-rate = 0.02\n",
      "own");
  Training training{.schedule = resolve_schedule(document, {"lower", "head"}, 37),
                    .data = document.configuration.data,
                    .train = document.configuration.train,
                    .task = goal.task,
                    .loss = goal.loss};
  const auto coordinator = make_unfreezing_coordinator(communicator, {});
  Recorder heard;
  Outcome outcome;
  outcome.validation_loss =
      training.run(model, dataset, heard, communicator, *coordinator).last_evaluation.loss;
  for (const at::Tensor& weight : {net->lower->weight, net->head->weight}) {
    contract::expect_same_bits(communicator, weight.detach());
    outcome.weights.push_back(weight.detach().clone());
  }
  return outcome;
}

Outcome train(int ranks, const Goal& goal) {
  Outcome of_rank_0;
  run_ranks(ranks, [&](Communicator& communicator) {
    Outcome outcome = train(communicator, goal);
    if (communicator.rank() == 0) of_rank_0 = std::move(outcome);
  });
  return of_rank_0;
}

void expect_alike_at_every_number_of_ranks(const Goal& goal) {
  const Outcome one = train(1, goal);
  for (const int ranks : {2, 4}) {
    const Outcome several = train(ranks, goal);
    EXPECT_NEAR(several.validation_loss, one.validation_loss, 1e-4 * one.validation_loss);
    for (std::size_t i = 0; i < 2; ++i) {
      EXPECT_LE(testing_network::relative_difference(several.weights[i], one.weights[i]), 1e-9);
    }
  }
}

TEST(OwnModule, TrainsAlikeAtEveryNumberOfRanks) {
  expect_alike_at_every_number_of_ranks({});
  expect_alike_at_every_number_of_ranks({.loss = own_loss});
  expect_alike_at_every_number_of_ranks({.labels = at::one_hot(classes(), 3).to(at::kByte)});
  expect_alike_at_every_number_of_ranks({.labels = at::one_hot(classes(), 3).to(at::kFloat)});
}

/// Cross entropy in which a sample counts as much as its label says, and one: a mean over what the
/// ranks know together only.
class Weighed final : public Task {
 public:
  TaskKind kind() const override { return TaskKind::kClassification; }
  std::int64_t outputs() const override { return 3; }
  const std::vector<Metric>& metrics() const override {
    static const std::vector<Metric> none;
    return none;
  }
  at::Tensor loss(const at::Tensor& outputs, const Batch& batch, double) const override {
    return losses(outputs, batch).sum();
  }
  double weight(const Batch& batch) const override {
    return (batch.labels + 1).sum().item().toDouble();
  }
  bool weighs_samples() const override { return false; }
  Measurement nothing(std::int64_t) const override { return {}; }
  std::vector<double> figures(const Measurement&) const override { return {}; }
  std::string details(const Measurement&) const override { return ""; }
  std::string predictions(const at::Tensor&, const Batch&) const override { return ""; }

 private:
  at::Tensor losses(const at::Tensor& outputs, const Batch& batch) const override {
    return at::cross_entropy_loss(outputs, batch.labels, {}, at::Reduction::None)
        .mul(batch.labels + 1)
        .to(at::kDouble);
  }
  void count(const at::Tensor&, const Batch&, Measurement&) const override {}
};

TEST(OwnModule, TrainsOnATaskWhoseWeightIsNotItsSamples) {
  const Goal goal{.task = std::make_shared<Weighed>()};
  expect_alike_at_every_number_of_ranks(goal);
  const Outcome one = train(1, goal);
  const Outcome mean = train(1, {.loss = [](const at::Tensor& outputs, const Batch& batch) {
                               const Weighed task;
                               return task.loss(outputs, batch, 0) / task.weight(batch);
                             }});
  EXPECT_LE(testing_network::relative_difference(one.weights[0], mean.weights[0]), 1e-9);
}

TEST(OwnModule, TrainsOnItsOwnLoss) {
  const Outcome plain = train(1, {});
  const Outcome same = train(1, {.loss = [](const at::Tensor& outputs, const Batch& batch) {
                               return at::cross_entropy_loss(outputs, batch.labels);
                             }});
  const Outcome other = train(1, {.loss = own_loss});
  EXPECT_NEAR(same.validation_loss, plain.validation_loss, 1e-9);
  EXPECT_LE(testing_network::relative_difference(same.weights[0], plain.weights[0]), 1e-9);
  EXPECT_GT(testing_network::relative_difference(other.weights[0], plain.weights[0]), 1e-3);
}

}  // namespace
}  // namespace thaw
