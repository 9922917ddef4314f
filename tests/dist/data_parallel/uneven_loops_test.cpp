// Loops of unequal length, empty shares, buffers, and layers and gradients of all kinds.
#include <ATen/ops/mse_loss.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/view_as_real.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/linear.h>
#include <torch/optim/adam.h>
#include <torch/optim/sgd.h>

#include "core/models/layers/batch_norm.h"
#include "dist/communicator/in_process/in_process.h"
#include "tests/dist/communicator/communicator_contract.h"
#include "tests/dist/data_parallel/loop_module.h"

namespace thaw {
namespace {

using ::testing::HasSubstr;
using namespace testing_network;  // NOLINT(google-build-using-namespace)

/// Rank r has r + 1 batches of two samples; the expected training is that of one process.
TEST(Join, LoopsMayBeOfUnequalLength) {
  for (const bool follows : {false, true}) {
    run_ranks(3, [&](Communicator& communicator) {
      LoopNet net, alone;
      DataParallel parallel(communicator, net, small_buckets(Overlap::kOn));
      torch::optim::Adam optimizer(net->parameters(), 0.1), lone(alone->parameters(), 0.1);
      const LoopData all(18);
      const auto batch = [&](int rank, int step) {
        const std::int64_t first = 2 * (3 * step + rank);
        return all.x.slice(0, first, first + 2);
      };
      for (int step = 0; step <= communicator.rank(); ++step) {
        optimizer.zero_grad();
        parallel.forward(batch(communicator.rank(), step)).square().mean().backward();
        optimizer.step();
      }
      parallel.join(follows ? [&] { optimizer.step(); } : std::function<void()>());
      for (int step = 0; step < 3; ++step) {
        lone.zero_grad();
        std::vector<at::Tensor> batches;
        for (int rank = step; rank < 3; ++rank) batches.push_back(batch(rank, step));
        alone->forward(at::cat(batches)).square().mean().backward();
        lone.step();
      }
      EXPECT_LE(worst_difference(net->parameters(), alone->parameters(), Compare::kValues), 1e-9);
    });
  }
}

TEST(Skip, TakesPartWithoutSamples) {
  run_ranks(2, [](Communicator& communicator) {
    LoopNet net, alone;
    DataParallel parallel(communicator, net, small_buckets(Overlap::kOn));
    const LoopData all(6);
    for (int step = 0; step < 3; ++step) {
      net->zero_grad();
      if (communicator.rank() == step % 2) {
        EXPECT_EQ(parallel.skip(), 6);
      } else {
        at::mse_loss(parallel.forward(all.x), all.y).backward();
      }
      alone->zero_grad();
      at::mse_loss(alone->forward(all.x), all.y).backward();
      EXPECT_LE(worst_difference(net->parameters(), alone->parameters(), Compare::kGradients),
                1e-12);
    }
  });
}

TEST(Buffers, AreGivenToAllAfterEachStepIfWanted) {
  run_ranks(2, [](Communicator& communicator) {
    LoopNet net;
    const at::Tensor seen = net->register_buffer("seen", at::zeros({1}, at::kDouble));
    ReducerOptions options;
    options.loop.broadcast_buffers = true;
    DataParallel parallel(communicator, net, options);
    seen.fill_(communicator.rank() + 3);
    parallel.forward(LoopData(4).x).sum().backward();
    EXPECT_EQ(seen.item<double>(), 3);
  });
}

/// A network around a batch normalisation of one, two or three dimensions.
template <class Norm>
struct NormNet : torch::nn::Module {
  NormNet(std::shared_ptr<Norm> of, std::vector<std::int64_t> shape) : shape_(std::move(shape)) {
    for (const std::int64_t length : shape_) pixels *= length;
    lower = register_parameter(
        "lower", at::arange(3 * pixels * 4, at::kDouble).sin().view({3 * pixels, 4}) * 0.4);
    norm = register_module("norm", std::move(of));
    head = register_parameter("head", at::arange(6, at::kDouble).cos().view({2, 3}));
    to(at::kDouble);
  }
  at::Tensor forward(const at::Tensor& x) {
    std::vector<std::int64_t> shape = {x.size(0), 3};
    shape.insert(shape.end(), shape_.begin(), shape_.end());
    at::Tensor hidden = norm->forward(at::linear(x, lower).view(shape));
    return at::linear(at::tanh(hidden).view({x.size(0), 3, pixels}).mean(2), head);
  }
  std::vector<std::int64_t> shape_;
  std::int64_t pixels = 1;
  at::Tensor lower, head;
  std::shared_ptr<Norm> norm;
};

template <class Ours, class Theirs>
void expect_right_gradients(const std::vector<std::int64_t>& shape, int ranks, bool automatic,
                            bool empty) {
  const at::Tensor x = at::arange(13 * 4, at::kDouble).mul(0.7).sin().view({13, 4});
  const at::Tensor y = at::arange(13 * 2, at::kDouble).cos().view({13, 2});
  run_ranks(ranks, [&](Communicator& communicator) {
    NormNet<Theirs> alone(std::make_shared<Theirs>(3), shape);
    NormNet<Ours> net(std::make_shared<Ours>(3), shape);
    const SynchronizedBatchNorms norms(communicator, net);
    DataParallel parallel(communicator, net, small_buckets(Overlap::kOn));
    for (int step = 0; step < 3; ++step) {
      const bool nothing = empty && communicator.rank() == 0;
      const std::int64_t size = communicator.size(), rank = communicator.rank();
      const auto cut = [&](std::int64_t r) { return r == size ? 13 : 13 * r * 2 / (2 * size + 1); };
      std::int64_t first = cut(rank), last = cut(rank + 1);
      if (empty && rank <= 1) first = 0;
      if (nothing) last = 0;
      net.zero_grad();
      alone.zero_grad();
      const at::Tensor own_x = x.slice(0, first, last), own_y = y.slice(0, first, last);
      at::mse_loss(automatic ? parallel.forward(own_x) : net.forward(own_x), own_y).backward();
      if (!automatic) parallel.finish(last - first);
      at::mse_loss(alone.forward(x), y).backward();
      EXPECT_LE(worst_difference(net.parameters(), alone.parameters(), Compare::kGradients), 1e-12);
      const at::Tensor apart = net.norm->running_var - alone.norm->running_var;
      EXPECT_LE(apart.abs().max().template item<double>(), 1e-12);
    }
    if (communicator.size() > 1) {
      EXPECT_THROW(parallel.skip(), RunError);
      EXPECT_THROW(parallel.join(), RunError);
    }
  });
}

TEST(SynchronizedNorms, AreRightWithUnevenShares) {
  for (const int ranks : {1, 2, 3}) {
    for (const bool automatic : {false, true}) {
      for (const bool empty : {false, true}) {
        if (empty && ranks == 1) continue;
        expect_right_gradients<nn::BatchNorm1d, torch::nn::BatchNorm1dImpl>({}, ranks, automatic,
                                                                            empty);
        expect_right_gradients<nn::BatchNorm1d, torch::nn::BatchNorm1dImpl>({5}, ranks, automatic,
                                                                            empty);
        expect_right_gradients<nn::BatchNorm2d, torch::nn::BatchNorm2dImpl>({2, 3}, ranks,
                                                                            automatic, empty);
        expect_right_gradients<nn::BatchNorm3d, torch::nn::BatchNorm3dImpl>({2, 3, 2}, ranks,
                                                                            automatic, empty);
      }
    }
  }
}

TEST(SynchronizedNorms, AreMadeOfExistingLayers) {
  const at::Tensor x = at::arange(13 * 4, at::kFloat).mul(0.7).sin().view({13, 4});
  run_ranks(2, [&](Communicator& communicator) {
    torch::nn::Sequential net(
        torch::nn::Linear(4, 3),
        torch::nn::BatchNorm1d(torch::nn::BatchNorm1dOptions(3).momentum(std::nullopt)),
        torch::nn::BatchNorm1d(torch::nn::BatchNorm1dOptions(3).affine(false)),
        torch::nn::BatchNorm1d(torch::nn::BatchNorm1dOptions(3).track_running_stats(false)));
    for (const at::Tensor& parameter : net->parameters()) {
      const at::NoGradGuard no_grad;
      const at::Tensor values =
          at::arange(parameter.numel(), at::kFloat).sin().add(1.5).view_as(parameter);
      parameter.copy_(values);
    }
    const auto alone = std::dynamic_pointer_cast<torch::nn::SequentialImpl>(net->clone());
    net->to(at::kDouble);
    alone->to(at::kDouble);
    const at::Tensor weight = net->parameters()[2];
    const SynchronizedBatchNorms norms(communicator, *net);
    EXPECT_TRUE(net->parameters()[2].is_same(weight));
    EXPECT_EQ(BatchNorms(*net).layers().size(), 3U);
    DataParallel parallel(communicator, net);
    for (int step = 0; step < 3; ++step) {
      const at::Tensor input = x.to(at::kDouble) * (step + 1);
      const at::Tensor own = communicator.rank() == 0 ? input.slice(0, 0, 4) : input.slice(0, 4);
      net->zero_grad();
      parallel.forward(own).pow(3).sum(1).mean().backward();
      alone->zero_grad();
      alone->forward(input).pow(3).sum(1).mean().backward();
      EXPECT_LE(worst_difference(net->parameters(), alone->parameters(), Compare::kGradients),
                1e-9);
    }
    EXPECT_LE(worst_difference(net->buffers(), alone->buffers(), Compare::kValues), 1e-9);
  });
}

TEST(SynchronizedNorms, OfAMemberAreRefusedByName) {
  NormNet<torch::nn::BatchNorm2dImpl> net(std::make_shared<torch::nn::BatchNorm2dImpl>(3), {2, 3});
  try {
    convert_batch_norms(net);
    FAIL() << "no error";
  } catch (const InputError& error) {
    EXPECT_THAT(error.what(), HasSubstr("module \"norm\""));
  }
}

TEST(Types, HalfAndComplexParametersAreAveraged) {
  for (const int ranks : {1, 2, 3}) {
    run_ranks(ranks, [](Communicator& communicator) {
      for (const at::ScalarType type :
           {at::kHalf, at::kBFloat16, at::kComplexFloat, at::kComplexDouble}) {
        const at::Tensor w = at::ones({3, 2}, type).set_requires_grad(true);
        const at::Tensor v = at::ones({5}, at::kDouble).set_requires_grad(true);
        DataParallel parallel(communicator, {{"w", w}, {"v", v}}, {}, small_buckets(Overlap::kOn));
        for (int step = 0; step < 3; ++step) {
          w.mutable_grad().reset();
          const double factor = communicator.rank() + 1;
          parallel.announce(communicator.rank() + 1);
          const at::Tensor real = w.is_complex() ? at::view_as_real(w).select(-1, 1) : w;
          ((real * factor).sum() + v.sum()).backward();
          double sum = 0, total = 0;
          for (int rank = 0; rank < communicator.size(); ++rank) {
            sum += (rank + 1) * (rank + 1);
            total += rank + 1;
          }
          ASSERT_EQ(w.grad().scalar_type(), type);
          const at::Tensor got =
              w.is_complex() ? at::view_as_real(w.grad()).select(-1, 1) : w.grad();
          EXPECT_NEAR(got.sum().item<double>(), 6 * sum / total, 0.15);
          const at::Tensor all = w.is_complex() ? at::view_as_real(w.grad()) : w.grad();
          EXPECT_NEAR(all.sum().item<double>(), 6 * sum / total, 0.15);  // real parts: 0
        }
      }
    });
  }
}

/// Counts what it is given, and sums.
class CountingHook final : public GradientHook {
 public:
  std::string name() const override { return "counting"; }
  void reduce(std::size_t, at::Tensor& gradients, Communicator& communicator) override {
    elements += gradients.numel();
    communicator.all_reduce(gradients);
  }
  std::int64_t elements = 0;
};

TEST(Hooks, AHookOfOnesOwnSumsAllBuckets) {
  for (const Overlap overlap : {Overlap::kOff, Overlap::kOn}) {
    run_ranks(2, [&](Communicator& communicator) {
      LoopNet net, alone;
      ReducerOptions options = small_buckets(overlap);
      const auto hook = std::make_shared<CountingHook>();
      options.hook = hook;
      DataParallel parallel(communicator, net, options);
      const LoopData all(13);
      const LoopData own = all.share(communicator);
      for (int step = 0; step < 3; ++step) {
        net->zero_grad();
        at::mse_loss(parallel.forward(own.x), own.y).backward();
      }
      at::mse_loss(alone->forward(all.x), all.y).backward();
      EXPECT_LE(worst_difference(net->parameters(), alone->parameters(), Compare::kGradients),
                1e-12);
      EXPECT_GE(hook->elements, 3 * (35 + 42 + 18));
    });
  }
}

// One step is off by bfloat16's rounding; error feedback makes up for it over many.
TEST(Hooks, Bfloat16ErrorsDoNotAddUp) {
  run_ranks(2, [](Communicator& communicator) {
    const at::Tensor w = at::zeros({64}, at::kFloat).set_requires_grad(true);
    ReducerOptions options;
    options.hook = make_bfloat16_hook();
    DataParallel parallel(communicator, {{"w", w}}, {}, options);
    const at::Tensor gradient = at::arange(1, 65, at::kFloat).mul(0.01003);
    at::Tensor added = at::zeros({64}, at::kFloat);
    for (int step = 0; step < 200; ++step) {
      w.mutable_grad().reset();
      parallel.announce(1);
      (w * gradient).sum().backward();
      contract::expect_same_bits(communicator, w.grad());
      added += w.grad();
    }
    const at::Tensor error = (added / 200 - gradient).abs() / gradient;
    EXPECT_LE(error.max().item<double>(), 1e-4);
    EXPECT_GT((w.grad() - gradient).abs().max().item<double>(), 1e-5);  // rounded indeed
  });
}

}  // namespace
}  // namespace thaw
