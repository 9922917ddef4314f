// What people do in loops of their own, one habit a test: as one process with the whole batch, at
// one, two and three ranks with uneven shares.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/nn/utils/clip_grad.h>
#include <torch/optim/adamw.h>
#include <torch/optim/sgd.h>
#include <torch/serialize.h>

#include <sstream>
#include <thread>

#include "tests/support/loop_replica.h"

namespace thaw {
namespace {

using ::testing::HasSubstr;
using namespace testing_network;  // NOLINT(google-build-using-namespace)

TEST(Habits, GradientsSetToNothingBetweenBackwardAndStep) {
  on_replicas([](Communicator&, LoopReplica& replica) {
    torch::optim::SGD optimizer(replica.net->parameters(), 0.1);
    replica.loss().backward();
    const at::Tensor before = replica.net->middle.detach().clone();
    replica.net->middle.mutable_grad().reset();
    optimizer.step();
    EXPECT_TRUE(replica.net->middle.equal(before));
    EXPECT_FALSE(replica.net->lower.equal(replica.alone->lower));
    {
      const at::NoGradGuard no_grad;
      for (std::size_t i = 0; i < 3; ++i) {
        replica.alone->parameters()[i].copy_(replica.net->parameters()[i]);
      }
    }
    replica.expect_right_step();
  });
}

TEST(Habits, TwoBackwardsOfAGraphThatIsKept) {
  on_replicas([](Communicator&, LoopReplica& replica) {
    const at::Tensor loss = replica.loss(), lone = replica.lone_loss();
    for (const bool keeps : {true, false}) {
      loss.backward({}, keeps);
      lone.backward({}, keeps);
      replica.expect_equal(Compare::kGradients);
    }
  });
}

TEST(Habits, TwoForwardsThenTwoBackwards) {
  on_replicas([](Communicator&, LoopReplica& replica) {
    const at::Tensor first = replica.loss(), second = replica.loss();
    second.backward();
    first.backward();
    replica.lone_loss().backward();
    replica.lone_loss().backward();
    replica.expect_equal(Compare::kGradients);
  });
}

TEST(Habits, EvaluationInBetween) {
  on_replicas([](Communicator& communicator, LoopReplica& replica) {
    for (int step = 0; step < 3; ++step) {
      replica.net->eval();
      for (int i = 0; i < communicator.rank(); ++i) {  // ranks evaluate differently often
        const at::NoGradGuard no_grad;
        EXPECT_FALSE(replica.parallel.forward(replica.own.x).requires_grad());
      }
      replica.parallel.forward(replica.own.x);
      replica.net->train();
      replica.expect_right_step();
    }
  });
}

TEST(Habits, FrozenForALookAndThawedAgain) {
  on_replicas([](Communicator&, LoopReplica& replica) {
    replica.expect_right_step();
    replica.net->lower.set_requires_grad(false);
    replica.net->forward(replica.own.x);
    replica.net->lower.set_requires_grad(true);
    replica.expect_right_step();
  });
}

TEST(Habits, ParameterGroupsClippingAndDecay) {
  on_replicas([](Communicator&, LoopReplica& replica) {
    const auto optimizer_of = [](LoopNet& net) {
      auto options = std::make_unique<torch::optim::AdamWOptions>(0.01);
      std::vector<torch::optim::OptimizerParamGroup> groups;
      groups.emplace_back(std::vector<at::Tensor>{net->lower, net->middle});
      groups.emplace_back(std::vector<at::Tensor>{net->head}, std::move(options));
      return torch::optim::AdamW(groups, torch::optim::AdamWOptions(0.1).weight_decay(0.1));
    };
    auto optimizer = optimizer_of(replica.net), lone = optimizer_of(replica.alone);
    for (int step = 0; step < 5; ++step) {
      replica.expect_right_step();
      const double norm = torch::nn::utils::clip_grad_norm_(replica.net->parameters(), 0.05);
      EXPECT_NEAR(norm, torch::nn::utils::clip_grad_norm_(replica.alone->parameters(), 0.05), 1e-9);
      optimizer.step();
      lone.step();
    }
    EXPECT_LE(
        worst_difference(replica.net->parameters(), replica.alone->parameters(), Compare::kValues),
        1e-9);
  });
}

TEST(Habits, ALossThatIsScaled) {
  on_replicas([](Communicator&, LoopReplica& replica) {
    (replica.loss() * 1024).backward();
    for (const at::Tensor& parameter : replica.net->parameters()) {
      parameter.mutable_grad().div_(1024);
    }
    replica.lone_loss().backward();
    replica.expect_equal(Compare::kGradients);
  });
}

TEST(Habits, AGradientPenalty) {
  on_replicas([](Communicator&, LoopReplica& replica) {
    const auto penalty = [](const at::Tensor& input, const at::Tensor& output) {
      return torch::autograd::grad({output.sum()}, {input}, {}, true, true).front().square().mean();
    };
    const at::Tensor own = replica.own.x.clone().set_requires_grad(true);
    const at::Tensor all = replica.all.x.clone().set_requires_grad(true);
    const at::Tensor output = replica.parallel.forward(own), lone = replica.alone->forward(all);
    (at::mse_loss(output, replica.own.y) + penalty(own, output)).backward();
    (at::mse_loss(lone, replica.all.y) + penalty(all, lone)).backward();
    replica.expect_equal(Compare::kGradients);
  });
}

TEST(Habits, HooksOnTensors) {
  on_replicas([](Communicator&, LoopReplica& replica) {
    for (LoopNet* net : {&replica.net, &replica.alone}) {
      (*net)->middle.register_hook([](const at::Tensor& gradient) { return gradient * 3; });
    }
    replica.expect_right_step();
    replica.expect_right_step();
  });
}

TEST(Habits, AnotherNumberOfForwardsOnEachRank) {
  on_replicas([](Communicator& communicator, LoopReplica& replica) {
    at::Tensor loss = replica.loss();
    for (int i = 0; i < communicator.rank(); ++i) loss = loss + replica.loss();
    (loss / (communicator.rank() + 1)).backward();
    replica.lone_loss().backward();
    replica.expect_equal(Compare::kGradients);
  });
}

TEST(Habits, ABatchThatIsGivenUpBetweenForwardAndBackward) {
  on_replicas([](Communicator& communicator, LoopReplica& replica) {
    for (int i = 0; i < communicator.rank(); ++i) {
      try {
        at::mse_loss(replica.parallel.forward(replica.own.x), at::ones({2, 9}, at::kDouble));
        ADD_FAILURE();
      } catch (const c10::Error&) {
        replica.zero_grad();
      }
    }
    replica.expect_right_step();
  });
}

TEST(Habits, MovedBetweenForwardAndBackward) {
  on_replicas([](Communicator&, LoopReplica& replica) {
    const at::Tensor loss = replica.loss();
    DataParallel moved = std::move(replica.parallel);
    loss.backward();
    replica.lone_loss().backward();
    replica.expect_equal(Compare::kGradients);
    replica.parallel = std::move(moved);
    replica.expect_right_step();
  });
}

TEST(Habits, ABackwardBehindTheEndIsRefused) {
  for (const int ranks : {1, 2}) {
    run_ranks(ranks, [](Communicator& communicator) {
      LoopNet net;
      at::Tensor loss;
      {
        DataParallel parallel(communicator, net);
        loss = parallel.forward(LoopData(4).x).sum();
      }
      try {
        loss.backward();
        ADD_FAILURE() << "no error";
      } catch (const RunError& error) {
        EXPECT_THAT(error.what(), HasSubstr("of a DataParallel that has ended"));
      }
    });
  }
}

// A generator's step goes through the discriminator, whose gradients of it are thrown away.
TEST(Habits, TwoNetworksThatTakeTurns) {
  for (const int ranks : {1, 2, 3}) {
    run_ranks(ranks, [](Communicator& communicator) {
      struct Critic : torch::nn::Module {
        Critic() { w = register_parameter("w", at::arange(3, at::kDouble).sin().view({1, 3})); }
        at::Tensor forward(const at::Tensor& x) { return at::tanh(at::linear(x, w)); }
        at::Tensor w;
      };
      LoopReplica replica(communicator);
      auto critic = std::make_shared<Critic>(), lone = std::make_shared<Critic>();
      DataParallel parallel(communicator, critic);
      for (int round = 0; round < 3; ++round) {
        critic->zero_grad();
        lone->zero_grad();
        const at::Tensor fake = replica.parallel.forward(replica.own.x);
        const at::Tensor lone_fake = replica.alone->forward(replica.all.x);
        (parallel.forward(fake.detach()) - 1).square().mean().backward();
        (lone->forward(lone_fake.detach()) - 1).square().mean().backward();
        EXPECT_LE(worst_difference({critic->w}, {lone->w}, Compare::kGradients), 1e-12);
        replica.zero_grad();
        parallel.forward(fake).square().mean().backward();
        lone->forward(lone_fake).square().mean().backward();
        replica.expect_equal(Compare::kGradients);
        EXPECT_LE(worst_difference({critic->w}, {lone->w}, Compare::kGradients), 1e-12);
      }
    });
  }
}

TEST(Habits, WeightsThatAreLoadedUnderTheWrap) {
  on_replicas([](Communicator&, LoopReplica& replica) {
    DataParallelState state = replica.parallel.state();
    for (auto& entry : state.tensors) entry.second = entry.second.clone();
    replica.expect_right_step();
    torch::optim::SGD(replica.net->parameters(), 0.5).step();
    replica.parallel.load(state);
    replica.expect_right_step();
    {
      const at::NoGradGuard no_grad;
      for (LoopNet* net : {&replica.net, &replica.alone}) (*net)->lower.mul_(0.5);
    }
    replica.expect_right_step();
  });
}

// It replaces the tensors' data and with it, in LibTorch, what holds their hooks.
TEST(Habits, ATorchLoadUnderTheWrapIsRefused) {
  on_replicas([](Communicator&, LoopReplica& replica) {
    std::stringstream file;
    torch::save(replica.net, file);
    replica.expect_right_step();
    torch::load(replica.net, file);
    try {
      replica.loss();
      ADD_FAILURE() << "no error";
    } catch (const RunError& error) {
      EXPECT_THAT(error.what(), HasSubstr("wrap the module after that"));
    }
  });
}

TEST(Habits, BackwardOnAnotherThread) {
  on_replicas([](Communicator&, LoopReplica& replica) {
    for (int step = 0; step < 3; ++step) {
      replica.zero_grad();
      const at::Tensor loss = replica.loss();
      std::thread([&] { loss.backward(); }).join();
      replica.lone_loss().backward();
      replica.expect_equal(Compare::kGradients);
    }
  });
}

TEST(Habits, AnInputThatNeedsAGradientToo) {
  on_replicas([](Communicator&, LoopReplica& replica) {
    const at::Tensor own = replica.own.x.clone().set_requires_grad(true);
    at::mse_loss(replica.parallel.forward(own), replica.own.y).backward();
    EXPECT_TRUE(own.grad().defined());  // of this rank alone
    replica.lone_loss().backward();
    replica.expect_equal(Compare::kGradients);
  });
}

}  // namespace
}  // namespace thaw
