// A rank that an exception takes out of its backward, or out of its loop, tells the others at once.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <chrono>
#include <optional>
#include <stdexcept>
#include <string>

#include "tests/support/loop_replica.h"

namespace thaw {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using namespace testing_network;  // NOLINT(google-build-using-namespace)

enum class Place { kFunction, kHook };

/// A loss whose backward throws before it comes to the forward's output.
at::Tensor broken(const at::Tensor& loss, Place place) {
  if (place == Place::kFunction) return PlantedFunction::apply(loss, true) + loss;
  if (place == Place::kHook) {
    loss.register_hook(
        [](const at::Tensor&) -> at::Tensor { throw std::runtime_error("planted"); });
  }
  return loss;
}

std::string error_of(const std::function<void()>& body) {
  try {
    body();
  } catch (const std::exception& error) {
    return error.what();
  }
  return "";
}

class LeftLoops : public ::testing::TestWithParam<Place> {};

INSTANTIATE_TEST_SUITE_P(Places, LeftLoops, ::testing::Values(Place::kFunction, Place::kHook));

TEST_P(LeftLoops, ABackwardThatNeverCameToTheForwardIsTold) {
  for (const int ranks : {1, 2, 3}) {
    for (const bool announces : {false, true}) {
      run_ranks(ranks, [&](Communicator& communicator) {
        LoopReplica replica(communicator);
        for (int round = 0; round < 3; ++round) {
          replica.expect_right_step();
          const bool throws = communicator.rank() == communicator.size() - 1;
          const std::string error = error_of([&] {
            if (announces) replica.parallel.announce(replica.own.x.size(0));
            const at::Tensor loss =
                announces ? at::mse_loss(replica.net->forward(replica.own.x), replica.own.y)
                          : replica.loss();
            (throws ? broken(loss, GetParam()) : loss).backward();
          });
          if (throws) {
            EXPECT_EQ(error, "planted");
          } else {
            EXPECT_THAT(error, AllOf(HasSubstr("rank " + std::to_string(communicator.size() - 1)),
                                     HasSubstr("left by an exception")));
          }
          EXPECT_FALSE(replica.net->lower.grad().defined());
        }
        replica.expect_right_step();
      });
    }
  }
}

TEST_P(LeftLoops, MicroBatchesAreGivenUpWithoutAWordToTheOthers) {
  on_replicas([&](Communicator& communicator, LoopReplica& replica) {
    if (communicator.rank() == communicator.size() - 1) {
      const auto scope = replica.parallel.accumulate();
      replica.loss().backward();
      EXPECT_EQ(error_of([&] { broken(replica.loss(), GetParam()).backward(); }), "planted");
      EXPECT_FALSE(replica.net->lower.grad().defined());
    }
    replica.expect_right_step();
  });
}

// A backward of something else, or one that leaves no gradients in parameters, is no step.
TEST_P(LeftLoops, OtherBackwardsAreNobodysBusiness) {
  on_replicas([&](Communicator& communicator, LoopReplica& replica) {
    const at::Tensor loss = replica.loss();
    if (communicator.rank() == 0) {
      const at::Tensor other = at::ones({1}).set_requires_grad(true);
      EXPECT_EQ(error_of([&] { broken(other.sum(), GetParam()).backward(); }), "planted");
      const at::Tensor x = replica.own.x.clone().set_requires_grad(true);
      const at::Tensor seen = replica.parallel.forward(x).sum();
      EXPECT_EQ(error_of([&] { torch::autograd::grad({broken(seen, GetParam())}, {x}); }),
                "planted");
    }
    loss.backward();
    replica.lone_loss().backward();
    replica.expect_equal(Compare::kGradients);
  });
}

TEST(LeftLoop, AGraphThatWasFreedIsAnErrorOnAllRanks) {
  on_replicas([](Communicator&, LoopReplica& replica) {
    const at::Tensor loss = replica.loss();
    loss.backward();
    EXPECT_THAT(error_of([&] { loss.backward(); }), HasSubstr("second time"));
    replica.expect_right_step();
  });
}

// Between forward and backward; the DataParallel ends while the exception goes on.
TEST(LeftLoop, IsToldByTheDestructor) {
  for (const int ranks : {2, 3}) {
    const auto begin = std::chrono::steady_clock::now();
    run_ranks(ranks, [&](Communicator& communicator) {
      const int leaver = communicator.size() - 1;
      const std::string error = error_of([&] {
        LoopReplica replica(communicator);
        for (int step = 0; step < 4; ++step) {
          const at::Tensor loss = replica.loss();
          if (step == 2 && communicator.rank() == leaver) throw std::runtime_error("planted");
          loss.backward();
        }
      });
      if (communicator.rank() == leaver) {
        EXPECT_EQ(error, "planted");
      } else {
        EXPECT_THAT(error, HasSubstr("rank " + std::to_string(leaver) + " makes no more steps"));
      }
      communicator.barrier();
      LoopReplica(communicator).expect_right_step();  // those who caught theirs may begin again
    });
    EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(60));
  }
}

TEST(LeftLoop, OfAllRanksIsNoNews) {
  run_ranks(3, [](Communicator& communicator) {
    const std::string error = error_of([&] {
      LoopReplica replica(communicator);
      replica.loss().backward();
      throw std::runtime_error("planted");
    });
    EXPECT_EQ(error, "planted");
    LoopReplica(communicator).expect_right_step();
  });
}

}  // namespace
}  // namespace thaw
