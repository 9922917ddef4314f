#include "core/models/layers/batch_norm.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/batch_norm.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include <mutex>
#include <vector>

#include "core/base/error.h"
#include "core/data/batch.h"
#include "core/models/model.h"
#include "core/parallel/communicator.h"
#include "dist/communicator/in_process/in_process.h"
#include "tests/core/models/resnet_fixture.h"

namespace thaw {
namespace {

constexpr std::int64_t kChannels = 5;

/// What one normalisation gives and leaves behind.
struct Outcome {
  at::Tensor output, input_gradient, weight_gradient, bias_gradient, running_mean, running_var;
};

/// Large enough beside a deviation of 1 that a difference of squares would show in float64.
double mean_of_samples(at::ScalarType dtype) { return dtype == at::kDouble ? 1e4 : 5; }

at::Tensor sample_input(std::int64_t samples, at::ScalarType dtype) {
  return (at::randn({samples, kChannels, 3, 4}, at::kDouble) + mean_of_samples(dtype))
      .to(dtype)
      .contiguous(at::MemoryFormat::ChannelsLast);
}

std::shared_ptr<nn::BatchNorm2d> layer(at::ScalarType dtype) {
  auto result = std::make_shared<nn::BatchNorm2d>(kChannels);
  result->to(dtype);
  const at::NoGradGuard no_grad;
  result->weight.copy_(fixture_uniform("weight", 1, {kChannels}, 0.5, 1.5));
  result->bias.copy_(fixture_uniform("bias", 1, {kChannels}, -1, 1));
  result->running_mean.fill_(mean_of_samples(dtype) - 2);
  return result;
}

Outcome run(nn::BatchNorm2d& layer, const at::Tensor& input, const at::Tensor& output_gradient) {
  const at::Tensor leaf = input.detach().clone().set_requires_grad(true);
  const at::Tensor output = layer.forward(leaf);
  output.backward(output_gradient);
  return {output.detach(),   leaf.grad(),        layer.weight.grad(),
          layer.bias.grad(), layer.running_mean, layer.running_var};
}

/// The same over shares of the batch, one a rank; rows and gradients put together again.
Outcome run_shared(const at::Tensor& input, const at::Tensor& output_gradient,
                   const std::vector<std::int64_t>& shares) {
  std::vector<Outcome> outcomes(shares.size());
  run_ranks(static_cast<int>(shares.size()), [&](Communicator& communicator) {
    const auto rank = static_cast<std::size_t>(communicator.rank());
    const std::int64_t first =
        std::accumulate(shares.begin(), shares.begin() + communicator.rank(), std::int64_t{0});
    const auto mine = layer(input.scalar_type());
    mine->set_communicator(&communicator);
    outcomes[rank] = run(*mine, input.narrow(0, first, shares[rank]),
                         output_gradient.narrow(0, first, shares[rank]));
  });
  Outcome whole = outcomes[0];
  for (std::size_t rank = 1; rank < outcomes.size(); ++rank) {
    whole.output = at::cat({whole.output, outcomes[rank].output});
    whole.input_gradient = at::cat({whole.input_gradient, outcomes[rank].input_gradient});
    whole.weight_gradient = whole.weight_gradient + outcomes[rank].weight_gradient;
    whole.bias_gradient = whole.bias_gradient + outcomes[rank].bias_gradient;
    EXPECT_TRUE(at::equal(whole.running_mean, outcomes[rank].running_mean)) << "rank " << rank;
    EXPECT_TRUE(at::equal(whole.running_var, outcomes[rank].running_var)) << "rank " << rank;
  }
  return whole;
}

void expect_close(const at::Tensor& a, const at::Tensor& b, double tolerance, const char* what) {
  EXPECT_LE((a.to(at::kDouble) - b.to(at::kDouble)).norm().item().toDouble(),
            tolerance * b.to(at::kDouble).norm().item().toDouble())
      << what;
}

void expect_close(const Outcome& a, const Outcome& b, double tolerance) {
  expect_close(a.output, b.output, tolerance, "output");
  expect_close(a.input_gradient, b.input_gradient, tolerance, "gradient of the input");
  expect_close(a.weight_gradient, b.weight_gradient, tolerance, "gradient of the weight");
  expect_close(a.bias_gradient, b.bias_gradient, tolerance, "gradient of the bias");
  expect_close(a.running_mean, b.running_mean, tolerance, "running mean");
  expect_close(a.running_var, b.running_var, tolerance, "running variance");
}

class Synchronised : public testing::TestWithParam<std::vector<std::int64_t>> {};

TEST_P(Synchronised, EqualsOneProcessOnTheWholeBatch) {
  for (const auto& [dtype, tolerance] :
       {std::pair(at::kDouble, 1e-10), std::pair(at::kFloat, 1e-5)}) {
    const at::Tensor input = sample_input(7, dtype);
    const at::Tensor gradient = at::randn_like(input);
    const auto alone = layer(dtype);
    expect_close(run_shared(input, gradient, GetParam()), run(*alone, input, gradient), tolerance);
  }
}

INSTANTIATE_TEST_SUITE_P(Shares, Synchronised,
                         testing::Values(std::vector<std::int64_t>{4, 3},
                                         std::vector<std::int64_t>{7, 0},
                                         std::vector<std::int64_t>{0, 3, 4},
                                         std::vector<std::int64_t>{2, 0, 4, 1}));

TEST(BatchNorm, WorksOnContiguousInputsToo) {
  const at::Tensor input = sample_input(6, at::kDouble).contiguous();
  const at::Tensor gradient = at::randn_like(input);
  expect_close(run_shared(input, gradient, {2, 4}), run(*layer(at::kDouble), input, gradient),
               1e-10);
}

TEST(BatchNorm, TakesBfloat16UnderFloat32Weights) {
  const at::Tensor input = at::randn({6, kChannels, 8, 8}).to(at::kBFloat16);
  const at::Tensor gradient = at::randn_like(input);
  expect_close(run_shared(input, gradient, {2, 4}), run(*layer(at::kFloat), input, gradient), 1e-2);
}

TEST(BatchNorm, OneValueAChannelLeavesTheRunningStatisticsAlone) {
  const auto alone = layer(at::kFloat);
  const Outcome outcome =
      run(*alone, at::randn({1, kChannels, 1, 1}), at::ones({1, kChannels, 1, 1}));
  // A variance of zero magnifies the rounding of x - mean by 1 / sqrt(1e-5).
  expect_close(outcome.output.flatten(), alone->bias.detach(), 1e-4, "output");
  EXPECT_EQ(outcome.input_gradient.abs().sum().item().toDouble(), 0);
  EXPECT_TRUE(at::equal(outcome.running_var, at::ones({kChannels})));
}

TEST(BatchNorm, EvaluationUsesTheRunningStatistics) {
  const auto alone = layer(at::kDouble);
  alone->eval();
  const at::Tensor input = sample_input(3, at::kDouble);
  const Outcome outcome = run(*alone, input, at::ones_like(input));
  const at::Tensor wanted =
      at::batch_norm(input, alone->weight, alone->bias, alone->running_mean, alone->running_var,
                     /*training=*/false, 0.1, 1e-5, false);
  EXPECT_TRUE(at::equal(outcome.output, wanted.detach()));
  EXPECT_EQ(outcome.running_mean[0].item().toDouble(), mean_of_samples(at::kDouble) - 2);
  EXPECT_EQ(alone->num_batches_tracked.item().toLong(), 0);
}

TEST(BatchNorm, FrozenLayersInEvaluationSayNothing) {
  run_ranks(2, [](Communicator& communicator) {
    const auto mine = layer(at::kFloat);
    mine->set_communicator(&communicator);
    mine->eval();
    EXPECT_FALSE(mine->synchronizes());
    if (communicator.rank() == 0) {  // would hang or throw if it were a collective
      mine->forward(sample_input(2, at::kFloat));
    }
    EXPECT_EQ(mine->traffic().collectives, 0);
  });
}

TEST(BatchNorm, CountsItsTraffic) {
  run_ranks(2, [](Communicator& communicator) {
    const auto model = untrained_resnet("resnet-cifar", 20, 10);
    BatchNorms norms(*model);
    EXPECT_EQ(norms.layers().size(), 19U);
    EXPECT_FALSE(norms.synchronize());
    norms.set_communicator(&communicator);
    EXPECT_TRUE(norms.synchronize());
    const Batch batch = fixture_batch(2, 32, 10, communicator.rank(), at::kFloat);
    model->forward(batch).sum().backward();
    EXPECT_EQ(norms.traffic().collectives, 2 * 19);
    const std::int64_t channels = 7 * 16 + 6 * 32 + 6 * 64;
    EXPECT_EQ(norms.traffic().payload_bytes, 8 * (4 * channels + 3 * 19));
    model->eval();
    EXPECT_FALSE(norms.synchronize());
  });
}

TEST(BatchNorm, TellsWhenRunningStatisticsDiffer) {
  EXPECT_THROW(run_ranks(3,
                         [](Communicator& communicator) {
                           const auto mine = layer(at::kFloat);
                           mine->set_communicator(&communicator);
                           if (communicator.rank() == 1) {
                             mine->running_mean.add_(1);
                           }
                           mine->forward(sample_input(2, at::kFloat));
                         }),
               DisagreementError);
}

TEST(BatchNorm, BroadcastMakesLocalBuffersEqual) {
  run_ranks(3, [](Communicator& communicator) {
    const auto model = std::make_shared<torch::nn::Module>();
    const auto mine = model->register_module("bn", layer(at::kFloat));
    mine->running_mean.fill_(communicator.rank());
    mine->num_batches_tracked.fill_(communicator.rank());
    BatchNorms(*model).broadcast_buffers(communicator, 2);
    EXPECT_EQ(mine->running_mean[0].item().toDouble(), 2);
    EXPECT_EQ(mine->num_batches_tracked.item().toLong(), 2);
  });
}

/// Gradients of the global batch's mean loss, whatever the ranks, one of which has no sample.
TEST(BatchNorm, AWholeNetworkTrainsAsOnOneRank) {
  constexpr std::int64_t kSamples = 5;
  const Batch batch = fixture_batch(kSamples, 32, 10, 0, at::kDouble);
  const auto gradients_of = [&](Model& model, std::int64_t first, std::int64_t last) {
    const Batch share = batch.slice(first, last);
    const at::Tensor logits = model.forward(share);
    (logits.log_softmax(1).gather(1, share.labels.view({-1, 1})).sum() / -kSamples).backward();
    std::vector<at::Tensor> gradients;
    for (const at::Tensor& parameter : model.parameters()) {
      gradients.push_back(parameter.grad());
    }
    return gradients;
  };
  const auto make = [] {
    auto model = untrained_resnet("resnet-cifar", 20, 10);
    model->to(at::kDouble);
    fill_by_formula(*model);
    return model;
  };
  const auto alone = make();
  const std::vector<at::Tensor> wanted = gradients_of(*alone, 0, kSamples);

  const std::vector<std::int64_t> bounds = {0, 3, 3, kSamples};
  run_ranks(3, [&](Communicator& communicator) {
    const auto model = make();
    BatchNorms(*model).set_communicator(&communicator);
    const auto rank = static_cast<std::size_t>(communicator.rank());
    std::vector<at::Tensor> gradients = gradients_of(*model, bounds[rank], bounds[rank + 1]);
    for (std::size_t i = 0; i < gradients.size(); ++i) {
      gradients[i] = gradients[i].contiguous();
      communicator.all_reduce(gradients[i]);
      expect_close(gradients[i], wanted[i], 1e-10, alone->named_parameters().keys()[i].c_str());
    }
    const auto buffers = model->named_buffers();
    for (const auto& item : alone->named_buffers()) {
      expect_close(buffers[item.key()], item.value(), 1e-10, item.key().c_str());
    }
  });
}

}  // namespace
}  // namespace thaw
