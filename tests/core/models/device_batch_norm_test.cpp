// BatchNorm's way on a GPU, on the host: LibTorch's five kernels, which it has for GPUs alone, are
// registered for the CPU here as plain operators that compute what those do, step by step.
#include "core/models/layers/device_batch_norm.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/randn_like.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>
#include <torch/library.h>

#include <cmath>
#include <cstdint>
#include <numeric>
#include <optional>
#include <tuple>
#include <utility>
#include <vector>

#include "core/models/layers/batch_norm.h"
#include "core/models/layers/synchronized_batch_norm.h"
#include "core/parallel/communicator.h"
#include "core/parallel/loss_share.h"
#include "dist/communicator/in_process/in_process.h"

namespace thaw {
namespace {

constexpr std::int64_t kChannels = 3;
using Optional = std::optional<at::Tensor>;

/// A vector over channels, to go with [n, C, H, W].
at::Tensor wide(const at::Tensor& channels) { return channels.view({1, -1, 1, 1}); }
at::Tensor over_pixels(const at::Tensor& x) { return x.sum(at::IntArrayRef{0, 2, 3}); }

std::tuple<at::Tensor, at::Tensor> stats(const at::Tensor& x, double epsilon) {
  const auto values = static_cast<double>(x.numel() / x.size(1));
  const at::Tensor mean = over_pixels(x) / values;
  const at::Tensor variance = over_pixels((x - wide(mean)).square()) / values;
  return {mean, (variance + epsilon).rsqrt()};
}

/// Welford's merging in the order of the ranks, with the kernel's divisions.
std::tuple<at::Tensor, at::Tensor> gather(const at::Tensor&, const at::Tensor& means,
                                          const at::Tensor& inverses, const Optional& running_mean,
                                          const Optional& running_var, double momentum,
                                          double epsilon, const at::Tensor& counts) {
  at::Tensor mean = at::zeros_like(means[0]), squares = at::zeros_like(mean);
  double seen = 0;
  for (std::int64_t rank = 0; rank < means.size(0); ++rank) {
    const double count = counts[rank].item<double>();
    const at::Tensor variance = inverses[rank].reciprocal().square() - epsilon;
    const double factor = 1 / (seen + count);
    squares = squares + variance * count + (mean - means[rank]).square() * seen * count * factor;
    mean = seen * factor * mean + count * factor * means[rank];
    seen += count;
  }
  running_mean->mul_(1 - momentum).add_(mean, momentum);
  running_var->mul_(1 - momentum).add_(squares / (seen - 1), momentum);
  return {mean, (squares / seen + epsilon).rsqrt()};
}

at::Tensor elemt(const at::Tensor& x, const Optional& weight, const Optional& bias,
                 const at::Tensor& mean, const at::Tensor& inverse, double) {
  return (x - wide(mean)) * wide(inverse * *weight) + wide(*bias);
}

std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor> backward_reduce(
    const at::Tensor& gradient, const at::Tensor& x, const at::Tensor& mean,
    const at::Tensor& inverse, const Optional&, bool, bool, bool) {
  const at::Tensor sum = over_pixels(gradient);
  const at::Tensor with_x = over_pixels(gradient * (x - wide(mean)));
  return {sum, with_x, with_x * inverse, sum.clone()};
}

at::Tensor backward_elemt(const at::Tensor& gradient, const at::Tensor& x, const at::Tensor& mean,
                          const at::Tensor& inverse, const Optional& weight, const at::Tensor& sum,
                          const at::Tensor& with_x, const at::Tensor& counts) {
  const auto all = static_cast<double>(counts.sum().item<std::int64_t>());
  return (gradient - wide(sum / all) - (x - wide(mean)) * wide(inverse.square() * with_x / all)) *
         wide(inverse * *weight);
}

TORCH_LIBRARY_IMPL(aten, CPU, m) {
  m.impl("batch_norm_stats", stats);
  m.impl("batch_norm_gather_stats_with_counts", gather);
  m.impl("batch_norm_elemt", elemt);
  m.impl("batch_norm_backward_reduce", backward_reduce);
  m.impl("batch_norm_backward_elemt", backward_elemt);
}

using Norm = at::Tensor (*)(const at::Tensor&, const at::Tensor&, const at::Tensor&,
                            const SynchronizedBatchNorm&);

struct Outcome {
  at::Tensor output, input_gradient, weight_gradient, bias_gradient, running_mean, running_var;
};

Outcome run(Norm norm, const at::Tensor& input, const at::Tensor& gradient,
            Communicator* communicator, const LossShare* share = nullptr) {
  BatchNormTraffic traffic;
  SynchronizedBatchNorm settings;
  settings.communicator = communicator;
  settings.running_mean = at::ones({kChannels}, at::kDouble);
  settings.running_var = at::ones({kChannels}, at::kDouble) * 2;
  settings.epsilon = 1e-5;
  settings.momentum = 0.1;
  settings.traffic = &traffic;
  settings.loss_share = share;
  at::Tensor x = input.clone().set_requires_grad(true);
  at::Tensor weight = (at::ones({kChannels}, at::kDouble) * 1.5).set_requires_grad(true);
  at::Tensor bias = (at::ones({kChannels}, at::kDouble) * -0.5).set_requires_grad(true);
  const at::Tensor output = norm(x, weight, bias, settings);
  output.backward(gradient);
  EXPECT_EQ(traffic.collectives, communicator != nullptr ? 2 : 0);
  return {output.detach(),     x.grad(), weight.grad(), bias.grad(), settings.running_mean,
          settings.running_var};
}

void expect_same(const Outcome& a, const Outcome& b) {
  const auto close = [](const at::Tensor& one, const at::Tensor& other, const char* what) {
    EXPECT_TRUE(one.allclose(other, 1e-9, 1e-12)) << what << ": " << one << " and " << other;
  };
  close(a.output, b.output, "output");
  close(a.input_gradient, b.input_gradient, "gradient of the input");
  close(a.weight_gradient, b.weight_gradient, "gradient of the weight");
  close(a.bias_gradient, b.bias_gradient, "gradient of the bias");
  close(a.running_mean, b.running_mean, "running mean");
  close(a.running_var, b.running_var, "running variance");
}

class DeviceNormShares : public testing::TestWithParam<std::vector<std::int64_t>> {};

TEST_P(DeviceNormShares, EqualsTheHostsOnEveryRank) {
  const std::vector<std::int64_t> shares = GetParam();
  const std::int64_t samples = std::accumulate(shares.begin(), shares.end(), std::int64_t{0});
  const at::Tensor input = at::randn({samples, kChannels, 2, 2}, at::kDouble) + 3;
  const at::Tensor gradient = at::randn_like(input);
  run_ranks(static_cast<int>(shares.size()), [&](Communicator& world) {
    const auto rank = static_cast<std::size_t>(world.rank());
    const std::int64_t first =
        std::accumulate(shares.begin(), shares.begin() + world.rank(), std::int64_t{0});
    const at::Tensor mine = input.narrow(0, first, shares[rank]);
    const at::Tensor mine_gradient = gradient.narrow(0, first, shares[rank]);
    const LossShare share{.samples = shares[rank]};
    for (const LossShare* weighted : {static_cast<const LossShare*>(nullptr), &share}) {
      expect_same(run(device_batch_norm, mine, mine_gradient, &world, weighted),
                  run(synchronized_batch_norm, mine, mine_gradient, &world, weighted));
    }
  });
}

INSTANTIATE_TEST_SUITE_P(Shares, DeviceNormShares,
                         testing::Values(std::vector<std::int64_t>{4, 3},
                                         std::vector<std::int64_t>{7, 0},
                                         std::vector<std::int64_t>{0, 0, 4},
                                         std::vector<std::int64_t>{2, 0, 5, 1}));

TEST(DeviceNorm, OneValueAChannelLeavesTheRunningStatisticsAlone) {
  const at::Tensor gradient = at::ones({1, kChannels, 1, 1}, at::kDouble);
  const Outcome alone =
      run(device_batch_norm, at::randn({1, kChannels, 1, 1}, at::kDouble), gradient, nullptr);
  EXPECT_TRUE(at::equal(alone.running_mean, at::ones({kChannels}, at::kDouble)));
  EXPECT_TRUE(at::equal(alone.running_var, at::ones({kChannels}, at::kDouble) * 2));
  EXPECT_EQ(alone.input_gradient.abs().sum().item<double>(), 0);
}

TEST(DeviceNorm, OneValueARankMovesTheRunningStatisticsTogether) {
  const at::Tensor input = at::randn({2, kChannels, 1, 1}, at::kDouble);
  const at::Tensor gradient = at::randn_like(input);
  run_ranks(2, [&](Communicator& world) {
    const at::Tensor mine = input.narrow(0, world.rank(), 1);
    const at::Tensor mine_gradient = gradient.narrow(0, world.rank(), 1);
    const Outcome outcome = run(device_batch_norm, mine, mine_gradient, &world);
    expect_same(outcome, run(synchronized_batch_norm, mine, mine_gradient, &world));
    EXPECT_FALSE(at::equal(outcome.running_var, at::ones({kChannels}, at::kDouble) * 2));
  });
}

}  // namespace
}  // namespace thaw
