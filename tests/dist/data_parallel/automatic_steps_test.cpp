// The loop that people know from DistributedDataParallel: forward announces, backward averages.
#include <ATen/ops/arange.h>
#include <ATen/ops/full.h>
#include <ATen/ops/mse_loss.h>
#include <ATen/ops/ones.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/linear.h>
#include <torch/optim/sgd.h>

#include "dist/communicator/in_process/in_process.h"
#include "tests/core/parallel/agreed_errors.h"
#include "tests/dist/communicator/communicator_contract.h"
#include "tests/dist/data_parallel/loop_module.h"
#include "tests/support/loop_replica.h"

namespace thaw {
namespace {

using ::testing::AllOf;
using ::testing::Each;
using ::testing::HasSubstr;
using namespace testing_network;  // NOLINT(google-build-using-namespace)

struct Style {
  Overlap overlap;
  bool announces;  ///< calls the module itself
};

class AutomaticLoop : public ::testing::TestWithParam<Style> {};

INSTANTIATE_TEST_SUITE_P(Styles, AutomaticLoop,
                         ::testing::Values(Style{Overlap::kOff, false}, Style{Overlap::kOn, false},
                                           Style{Overlap::kOn, true}, Style{Overlap::kAuto, false}),
                         [](const auto& instance) {
                           return std::string(instance.param.overlap == Overlap::kOn    ? "On"
                                              : instance.param.overlap == Overlap::kOff ? "Off"
                                                                                        : "Auto") +
                                  (instance.param.announces ? "Announced" : "Forward");
                         });

TEST_P(AutomaticLoop, TrainsAsOneProcessWithTheWholeBatch) {
  for (const int ranks : {1, 2, 3, 4}) {
    SCOPED_TRACE(ranks);
    run_ranks(ranks, [&](Communicator& communicator) {
      LoopNet net, alone;
      DataParallel parallel(communicator, net, small_buckets(GetParam().overlap));
      torch::optim::SGD optimizer(net->parameters(), 0.1), lone(alone->parameters(), 0.1);
      for (int step = 0; step < 20; ++step) {
        const LoopData all(step % 3 == 2 ? 1 : 13);  // at 4 ranks some shares are empty
        const LoopData own = all.share(communicator);
        optimizer.zero_grad();
        if (GetParam().announces) parallel.announce(own.x.size(0));
        const at::Tensor output =
            GetParam().announces ? net->forward(own.x) : parallel.forward(own.x);
        at::mse_loss(output, own.y).backward();
        lone.zero_grad();
        at::mse_loss(alone->forward(all.x), all.y).backward();
        EXPECT_LE(worst_difference(net->parameters(), alone->parameters(), Compare::kGradients),
                  1e-12);
        optimizer.step();
        lone.step();
      }
      EXPECT_LE(worst_difference(net->parameters(), alone->parameters(), Compare::kValues), 1e-12);
      for (const at::Tensor& parameter : net->parameters()) {
        contract::expect_same_bits(communicator, parameter.detach());
      }
    });
  }
}

// The output is the loss: backward starts at the very node that the hook is on.
TEST(AutomaticSteps, ForwardMayReturnTheLoss) {
  run_ranks(2, [](Communicator& communicator) {
    LossNet net;
    DataParallel parallel(communicator, net);
    const std::int64_t own = communicator.rank() + 1;
    parallel.forward(at::full({own, 1}, 1.0 * own, at::kDouble)).backward();
    EXPECT_NEAR(net->weight.grad().item<double>(), (1.0 * 1 + 2 * 2) / 3, 1e-12);
  });
}

TEST(AutomaticSteps, TakesModulesOfAnyKindAndForward) {
  run_ranks(2, [](Communicator& communicator) {
    const at::Tensor x = at::arange(6, at::kFloat).view({2, 3});
    torch::nn::Sequential chain(torch::nn::Linear(3, 4), torch::nn::Linear(4, 1));
    DataParallel(communicator, chain).forward(x).sum().backward();
    torch::nn::Linear linear(3, 1);
    DataParallel(communicator, *linear).forward(x).sum().backward();
    EXPECT_TRUE(linear->weight.grad().defined());

    auto pair = std::make_shared<PairNet>();
    DataParallel parallel(communicator, pair);
    auto [first, second] =
        parallel.forward<std::tuple<at::Tensor, at::Tensor>>(x.to(at::kDouble), 2, true);
    (first.sum() + second.sum()).backward();
    EXPECT_TRUE(pair->weight.grad().defined());
    EXPECT_THROW(parallel.forward(x.to(at::kDouble), 2, true), InputError);  // no tensor
    EXPECT_THROW(parallel.forward(x.to(at::kDouble)), InputError);           // too few
    EXPECT_THROW(parallel.forward(1, 2, true), InputError);
    torch::nn::Module empty;
    empty.register_parameter("w", at::ones({1}));
    EXPECT_THROW(DataParallel(communicator, empty).forward(x), InputError);
  });
}

struct Boxed {
  at::Tensor output;  ///< which DataParallel does not see
};

struct BoxedNet : torch::nn::Module {
  at::Tensor weight = register_parameter("weight", at::ones({1}, at::kDouble));
  Boxed forward(const at::Tensor& x) const { return {x * weight}; }
};

TEST(AutomaticSteps, AnEvaluationDoesNotCountForTheNextStep) {
  run_ranks(2, [](Communicator& communicator) {
    BoxedNet net;
    DataParallel parallel(communicator, net);
    const std::int64_t own = communicator.rank() + 1;
    const auto loss = [&](std::int64_t samples) {
      const at::Tensor x = at::full({samples, 1}, 1.0 * own, at::kDouble);
      return parallel.forward<Boxed>(x).output.mean();
    };
    for (int step = 0; step < 2; ++step) {
      net.weight.mutable_grad().reset();
      loss(own == 1 ? 100 : 1);  // with gradients recorded, but no backward
      loss(own).backward();
      EXPECT_NEAR(net.weight.grad().item<double>(), (1.0 * 1 + 2 * 2) / 3, 1e-12);
    }
    net.weight.mutable_grad().reset();
    parallel.announce(own == 1 ? 3 : 1);  // by the program: it counts
    loss(own).backward();
    EXPECT_NEAR(net.weight.grad().item<double>(), (3.0 * 1 + 1 * 2) / 4, 1e-12);
  });
}

TEST(AutomaticSteps, MicroBatchesAreWeightedByTheirSamples) {
  for (const LossMean mean : {LossMean::kStep, LossMean::kForward}) {
    run_ranks(2, [&](Communicator& communicator) {
      LoopNet net, alone;
      ReducerOptions options = small_buckets(Overlap::kOn);
      options.loop.loss_mean = mean;
      DataParallel parallel(communicator, net, options);
      const LoopData all(13);
      const LoopData own = all.share(communicator);
      const std::int64_t n = own.x.size(0), cut = 2;
      const auto loss = [&](std::int64_t from, std::int64_t to) {
        const at::Tensor value =
            at::mse_loss(parallel.forward(own.x.slice(0, from, to)), own.y.slice(0, from, to));
        const bool by_hand = mean == LossMean::kStep;
        return by_hand ? value * (static_cast<double>(to - from) / static_cast<double>(n)) : value;
      };
      for (int step = 0; step < 3; ++step) {
        net->zero_grad();
        {
          const auto scope = parallel.accumulate();
          loss(0, cut).backward();
        }
        loss(cut, n).backward();
        alone->zero_grad();
        at::mse_loss(alone->forward(all.x), all.y).backward();
        EXPECT_LE(worst_difference(net->parameters(), alone->parameters(), Compare::kGradients),
                  1e-12);
      }
    });
  }
}

// Without zero_grad gradients add up over steps, as they do without ranks.
TEST(AutomaticSteps, AddToGradientsThatAreThere) {
  on_replicas([](Communicator&, LoopReplica& replica) {
    for (int i = 0; i < 3; ++i) {
      replica.loss().backward();
      replica.lone_loss().backward();
    }
    replica.expect_equal(Compare::kGradients);
  });
}

TEST(AutomaticSteps, SeveralForwardsMayGoIntoOneBackward) {
  on_replicas([](Communicator&, LoopReplica& replica) {
    DataParallel& parallel = replica.parallel;
    const at::Tensor& own = replica.own.x;
    (replica.loss() + parallel.forward(own * 2).square().mean()).backward();
    (replica.lone_loss() + replica.alone->forward(replica.all.x * 2).square().mean()).backward();
    replica.expect_equal(Compare::kGradients);
    const at::Tensor other = parallel.forward(own.slice(0, 0, 1)).sum();
    replica.zero_grad();
    EXPECT_THROW((other + parallel.forward(own).sum()).backward(), RunError);
    replica.expect_right_step();  // and goes on
  });
}

// Nothing is under way between forward and backward.
TEST(AutomaticSteps, ForwardsWithoutABackwardCostNothing) {
  on_replicas([](Communicator& communicator, LoopReplica& replica) {
    // One rank evaluates with gradients.
    if (communicator.rank() == 0) replica.parallel.forward(replica.all.x);
    const at::Tensor input = replica.own.x.clone().set_requires_grad(true);
    const at::Tensor output = replica.parallel.forward(input).square().sum();
    torch::autograd::grad({output}, {input});
    replica.expect_right_step();
    replica.parallel.activate({"*"});
  });
}

TEST(AutomaticSteps, AnUnusedParameterIsNamed) {
  for (const int ranks : {1, 2}) {
    for (const bool everywhere : {true, false}) {
      const auto messages = agreed_errors<RunError>(ranks, [&](Communicator& communicator) {
        BranchNet net;
        DataParallel parallel(communicator, net, small_buckets(Overlap::kOn));
        const bool uses = !everywhere && communicator.rank() != communicator.size() - 1;
        parallel.forward(at::ones({2, 1}, at::kDouble), uses).sum().backward();
      });
      EXPECT_THAT(messages, Each(HasSubstr("\"second\" is active but got a gradient on")));
    }
  }
  run_ranks(2, [](Communicator& communicator) {
    BranchNet net;
    ReducerOptions options;
    options.unused = Unused::kAllow;
    DataParallel parallel(communicator, net, options);
    const bool uses = communicator.rank() == 0;
    parallel.forward(at::ones({2, 1}, at::kDouble), uses).sum().backward();
    EXPECT_NEAR(net->second.grad().item<double>(), 1, 1e-12);  // half of 2
  });
}

// A rank whose backward throws says so to the others; all go on with the next step.
TEST(AutomaticSteps, AnExceptionInABackwardEndsTheStepOnAllRanks) {
  for (const bool on_all : {true, false}) {
    run_ranks(2, [&](Communicator& communicator) {
      LoopReplica replica(communicator);
      for (int step = 0; step < 4; ++step) {
        replica.zero_grad();
        const bool throws = step == 2 && (on_all || communicator.rank() == 1);
        std::string error;
        const at::Tensor planted = replica.net->planted(throws);  // made first, so reached last
        try {
          (replica.loss() + planted).backward();
        } catch (const std::exception& caught) {
          error = caught.what();
        }
        if (step != 2) {
          EXPECT_EQ(error, "");
          replica.lone_loss().backward();
          replica.expect_equal(Compare::kGradients);
        } else if (throws) {
          EXPECT_EQ(error, "planted");
          EXPECT_FALSE(replica.net->parameters().front().grad().defined());
        } else {
          EXPECT_THAT(error, AllOf(HasSubstr("rank 1"), HasSubstr("left by an exception")));
        }
      }
    });
  }
}

// Its rank begins its share anew; the others have not heard of it.
TEST(AutomaticSteps, MicroBatchesThatWereGivenUpDoNotCount) {
  for (const bool throws : {true, false}) {
    run_ranks(2, [&](Communicator& communicator) {
      LoopReplica replica(communicator);
      for (int step = 0; step < 3; ++step) {
        if (communicator.rank() == 1) {
          const auto scope = replica.parallel.accumulate();
          const at::Tensor planted = replica.net->planted(throws);
          try {
            (replica.parallel.forward(replica.own.x.slice(0, 0, 2)).sum() + planted).backward();
            EXPECT_FALSE(throws);
            replica.zero_grad();
          } catch (const std::runtime_error&) {
            EXPECT_TRUE(throws);
          }
        }
        replica.expect_right_step();
      }
    });
  }
}

TEST(AutomaticSteps, DestructorsEndWhatAnExceptionLeft) {
  run_ranks(2, [](Communicator& communicator) {
    for (int round = 0; round < 5; ++round) {
      LoopNet net;
      EXPECT_THROW(
          {
            DataParallel parallel(communicator, net, small_buckets(Overlap::kOn));
            (parallel.forward(LoopData(4).x).sum() + net->planted(true)).backward();
          },
          std::runtime_error);
    }
  });
}

}  // namespace
}  // namespace thaw
