// DataParallel in loops of one's own: the training is that of one process with the whole batch.
#include "dist/data_parallel/data_parallel.h"

#include <ATen/ops/arange.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/optim/adamw.h>
#include <torch/optim/sgd.h>

#include "core/parallel/one_rank.h"
#include "dist/communicator/in_process/in_process.h"
#include "tests/dist/communicator/communicator_contract.h"
#include "tests/dist/data_parallel/own_loop.h"

namespace thaw {
namespace {

using ::testing::ElementsAre;
using namespace testing_network;  // NOLINT(google-build-using-namespace)

class OwnLoop : public ::testing::TestWithParam<LoopStyle> {};

INSTANTIATE_TEST_SUITE_P(
    Styles, OwnLoop,
    ::testing::Values(LoopStyle{false, Overlap::kOff, 100, "Plain"},
                      LoopStyle{true, Overlap::kOff, 100, "Announced"},
                      LoopStyle{true, Overlap::kOn, 100, "AnnouncedOverlapped"},
                      LoopStyle{false, Overlap::kOn, 2, "MicroBatches"},
                      LoopStyle{true, Overlap::kOn, 2, "AnnouncedMicroBatches"}),
    [](const auto& instance) { return instance.param.name; });

/// Thaws, freezes again, goes back; and the parameters that each names.
struct Activation {
  std::vector<std::string> patterns;
  std::size_t first, last;
};
const std::vector<Activation> kActivations = {{{"head"}, 4, 6},
                                              {{"middle", "head"}, 2, 6},
                                              {{"lower.*"}, 0, 2},
                                              {{"*.weight", "*.bias"}, 0, 6},
                                              {{"head.bias"}, 5, 6}};

// Batches of 13 and of 1: at 4 ranks uneven shares, and three that are empty.
TEST_P(OwnLoop, TrainsAsOneProcessWithTheWholeBatch) {
  for (const int ranks : {1, 2, 3, 4}) {
    SCOPED_TRACE(ranks);
    run_ranks(ranks, [&](Communicator& communicator) {
      SmallNetwork network, alone;
      DataParallel parallel(communicator, network.parameters, {},
                            small_buckets(GetParam().overlap));
      for (int step = 0; step < 30; ++step) {
        if (step % 6 == 0) {
          const Activation& activation = kActivations[static_cast<std::size_t>(step / 6)];
          parallel.activate(activation.patterns);
          alone.activate(activation.first, activation.last);
        }
        const Samples samples(step % 3 == 2 ? 1 : 13, at::kDouble);
        const std::int64_t total = samples.inputs.size(0);
        EXPECT_EQ(
            own_step(parallel, network, samples, {total, communicator.rank(), ranks}, GetParam()),
            total);
        network.descend(0.1);
        lone_step(alone, samples);
        alone.descend(0.1);
      }
      for (std::size_t i = 0; i < 6; ++i) {
        EXPECT_LE(relative_difference(network.parameters[i].tensor, alone.parameters[i].tensor),
                  1e-12)
            << network.parameters[i].name;
        contract::expect_same_bits(communicator, network.parameters[i].tensor);
      }
    });
  }
}

// One optimizer over all parameters for the whole run, as people write it.
TEST_P(OwnLoop, WorksWithOptimizersHoweverTheyZero) {
  enum class Zero { kNever, kBeforeBackward, kAfterStep };
  for (const Zero when : {Zero::kNever, Zero::kBeforeBackward, Zero::kAfterStep}) {
    for (const bool to_none : {true, false}) {
      run_ranks(2, [&](Communicator& communicator) {
        const Samples samples(5, at::kDouble);
        SmallNetwork network, alone;
        DataParallel parallel(communicator, network.parameters, {},
                              small_buckets(GetParam().overlap));
        std::vector<at::Tensor> tensors, lone_tensors;
        for (std::size_t i = 0; i < 6; ++i) {
          tensors.push_back(network.parameters[i].tensor);
          lone_tensors.push_back(alone.parameters[i].tensor);
        }
        const auto options = torch::optim::AdamWOptions(0.05).weight_decay(0.1);
        torch::optim::AdamW optimizer(tensors, options), lone_optimizer(lone_tensors, options);
        for (int step = 0; step < 8; ++step) {
          if (step % 4 == 0) {
            parallel.activate({step == 0 ? "head" : "*"});
            alone.activate(step == 0 ? 4 : 0, 6);
          }
          if (when == Zero::kBeforeBackward) optimizer.zero_grad(to_none);
          own_step(parallel, network, samples, {5, communicator.rank(), 2}, GetParam());
          optimizer.step();
          if (when == Zero::kAfterStep) optimizer.zero_grad(to_none);
          lone_step(alone, samples);
          lone_optimizer.step();
        }
        for (std::size_t i = 0; i < 6; ++i) {
          EXPECT_LE(relative_difference(network.parameters[i].tensor, alone.parameters[i].tensor),
                    1e-9);
        }
      });
    }
  }
}

TEST_P(OwnLoop, FrozenParametersStayAsTheyAreBitForBit) {
  run_ranks(2, [&](Communicator& communicator) {
    const Samples samples(5, at::kDouble);
    SmallNetwork network;
    DataParallel parallel(communicator, network.parameters, {}, small_buckets(GetParam().overlap));
    const at::Tensor before = network.parameters[2].tensor.clone();
    for (const char* pattern : {"head", "lower"}) {
      parallel.activate({pattern});
      own_step(parallel, network, samples, {5, communicator.rank(), 2}, GetParam());
      EXPECT_FALSE(network.parameters[2].tensor.grad().defined());
      network.descend(0.1);
    }
    EXPECT_TRUE(network.parameters[2].tensor.equal(before));
  });
}

TEST(DataParallel, HoldsNoGradientInFrozenAndUnreachedParameters) {
  run_ranks(2, [](Communicator& communicator) {
    SmallNetwork network;
    network.activate(0, 6);
    DataParallel parallel(communicator, network.parameters);
    EXPECT_EQ(parallel.active().size(), 6U);
    EXPECT_EQ(parallel.active_parameters().size(), 6U);
    network.parameters[5].tensor.sum().backward();  // the others are reached by nothing
    parallel.finish(1);
    EXPECT_FALSE(network.parameters[0].tensor.grad().defined());
    EXPECT_TRUE(network.parameters[5].tensor.grad().defined());
    parallel.activate({});
    EXPECT_TRUE(parallel.active().empty());
    EXPECT_FALSE(network.parameters[5].tensor.grad().defined());
    EXPECT_FALSE(network.parameters[5].tensor.requires_grad());
    EXPECT_EQ(parallel.finish(communicator.rank()), 1);  // nothing is active: nothing to do
    EXPECT_EQ(parallel.counters().payload_bytes, 0);
  });
}

// A mean over no samples is no number; where its gradients have weight 0 they must not spread.
TEST(DataParallel, AnEmptyShareMayRunBackwardToo) {
  for (const bool announces : {false, true}) {
    run_ranks(2, [&](Communicator& communicator) {
      const Samples samples(4, at::kDouble);
      SmallNetwork network;
      network.activate(0, 6);
      DataParallel parallel(communicator, network.parameters);
      const std::int64_t share = communicator.rank() == 0 ? 4 : 0;
      if (announces) parallel.begin(share);
      at::mse_loss(network.forward(samples.inputs.slice(0, 0, share)),
                   samples.targets.slice(0, 0, share))
          .backward();
      parallel.finish(share);
      SmallNetwork alone;
      alone.activate(0, 6);
      lone_step(alone, samples);
      EXPECT_LE(relative_difference(network.parameters[0].tensor.grad(),
                                    alone.parameters[0].tensor.grad()),
                1e-12);
    });
  }
}

// What is looked at between steps: `torch::autograd::grad` begins none, and a backward's gradients
// are the optimizer's to zero.
TEST(DataParallel, LetsGradientsBeLookedAtBetweenSteps) {
  run_ranks(2, [](Communicator& communicator) {
    const Samples samples(4, at::kDouble);
    const LoopStyle plain;
    SmallNetwork network, alone;
    network.activate(0, 6);
    alone.activate(0, 6);
    DataParallel parallel(communicator, network.parameters);
    std::vector<at::Tensor> tensors = parallel.active_parameters();
    torch::optim::SGD optimizer(tensors, torch::optim::SGDOptions(0.1));
    for (int step = 0; step < 3; ++step) {
      own_step(parallel, network, samples, {4, communicator.rank(), 2}, plain);
      torch::autograd::grad({network.forward(samples.inputs).sum()}, tensors);
      optimizer.step();
      network.forward(samples.inputs).sum().backward();
      optimizer.zero_grad();
      lone_step(alone, samples);
      alone.descend(0.1);
    }
    for (std::size_t i = 0; i < 6; ++i) {
      EXPECT_LE(relative_difference(network.parameters[i].tensor, alone.parameters[i].tensor),
                1e-12);
    }
  });
}

TEST(DataParallel, GivesEveryRankTheFirstOnesValues) {
  run_ranks(3, [](Communicator& communicator) {
    const int rank = communicator.rank();
    std::vector<NamedTensor> parameters = {
        {"plain", at::arange(6, at::kFloat).add(rank)},
        {"transposed", at::arange(6, at::kDouble).add(rank).view({2, 3}).t()},
        {"every-second", at::arange(6, at::kBFloat16).add(rank).slice(0, 0, 6, 2)}};
    const std::vector<NamedTensor> buffers = {{"count", at::full({}, rank + 7, at::kLong)},
                                              {"mask", at::full({2}, rank > 0, at::kBool)}};
    parameters[0].tensor.set_requires_grad(true);
    const DataParallel parallel(communicator, parameters, buffers);
    EXPECT_TRUE(parameters[0].tensor.equal(at::arange(6, at::kFloat)));
    EXPECT_TRUE(parameters[1].tensor.equal(at::arange(6, at::kDouble).view({2, 3}).t()));
    EXPECT_TRUE(parameters[2].tensor.equal(at::arange(0, 6, 2, at::kBFloat16)));
    EXPECT_EQ(buffers[0].tensor.item<std::int64_t>(), 7);
    EXPECT_FALSE(buffers[1].tensor.any().item<bool>());
    EXPECT_THAT(parallel.active(), ElementsAre("plain"));
  });
}

TEST(DataParallel, KeepsItsStateByName) {
  run_ranks(2, [](Communicator& communicator) {
    SmallNetwork network, other(at::kDouble, 5);
    const std::vector<NamedTensor> buffers = {{"mean", at::full({2}, 3.0, at::kDouble)}};
    const std::vector<NamedTensor> other_buffers = {{"mean", at::full({2}, 4.0, at::kDouble)}};
    DataParallel parallel(communicator, network.parameters, buffers);
    DataParallel copy(communicator, other.parameters, other_buffers);
    parallel.activate({"middle"});
    const DataParallelState state = parallel.state();
    EXPECT_THAT(state.active, ElementsAre("middle.weight", "middle.bias"));
    EXPECT_EQ(state.tensors.size(), 7U);
    copy.load(state);
    EXPECT_EQ(copy.active(), state.active);
    EXPECT_TRUE(other.parameters[3].tensor.requires_grad());
    for (std::size_t i = 0; i < 6; ++i) {
      EXPECT_TRUE(other.parameters[i].tensor.equal(network.parameters[i].tensor));
    }
    EXPECT_TRUE(other_buffers[0].tensor.equal(buffers[0].tensor));
  });
}

TEST(DataParallel, BroadcastsBuffers) {
  run_ranks(2, [](Communicator& communicator) {
    SmallNetwork network;
    const at::Tensor mean = at::full({2}, 3.0, at::kDouble);
    DataParallel parallel(communicator, network.parameters, {{"mean", mean}});
    mean.add_(communicator.rank() + 1);
    parallel.broadcast_buffers();
    EXPECT_TRUE(mean.equal(at::full({2}, 4.0, at::kDouble)));
  });
}

TEST(DataParallel, RunsAlone) {
  const auto alone = make_self_communicator();
  const Samples samples(4, at::kDouble);
  SmallNetwork network, expected;
  network.activate(0, 6);
  expected.activate(0, 6);
  DataParallel moved(*alone, network.parameters);
  DataParallel parallel = std::move(moved);
  EXPECT_EQ(own_step(parallel, network, samples, {4, 0, 1}, {}), 4);
  lone_step(expected, samples);
  EXPECT_TRUE(network.parameters[0].tensor.grad().equal(expected.parameters[0].tensor.grad()));
}

}  // namespace
}  // namespace thaw
