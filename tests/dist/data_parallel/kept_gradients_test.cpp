// What stands in a `.grad` that a loop keeps (zero_grad(false), none at all, a gradient written by
// hand), for parameters that a step's backward reaches and for those that it does not.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/optim/sgd.h>

#include "dist/communicator/in_process/in_process.h"
#include "tests/core/parallel/agreed_errors.h"
#include "tests/dist/data_parallel/loop_module.h"

namespace thaw {
namespace {

using ::testing::AllOf;
using ::testing::Each;
using ::testing::HasSubstr;
using namespace testing_network;  // NOLINT(google-build-using-namespace)

/// A loop over two parameters, of which `second` is used where it is told to; both reached by a
/// step that `finish` or forward ended.
struct KeptLoop {
  explicit KeptLoop(Communicator& world) : communicator(world), parallel(world, net, allowing()) {}

  static ReducerOptions allowing() {
    ReducerOptions options = small_buckets(Overlap::kOn);
    options.unused = Unused::kAllow;
    return options;
  }
  /// Of two samples a rank: a gradient of 1 for each parameter that is used.
  at::Tensor input() const { return at::ones({2, 1}, at::kDouble); }
  void step_by_forward(bool both) { parallel.forward(input(), both).mean().backward(); }
  void step_by_finish(bool both) {
    net->forward(input(), both).mean().backward();
    parallel.finish(2);
  }
  bool is_last() const { return communicator.rank() == communicator.size() - 1; }
  double first() const { return net->first.grad().item<double>(); }
  double second() const { return net->second.grad().item<double>(); }

  Communicator& communicator;
  BranchNet net;
  DataParallel parallel;
};

void on_kept_loops(const std::function<void(KeptLoop&)>& body) {
  for (const int ranks : {1, 2, 3}) {
    SCOPED_TRACE(ranks);
    run_ranks(ranks, [&](Communicator& communicator) {
      KeptLoop loop(communicator);
      body(loop);
    });
  }
}

// As in DistributedDataParallel with find_unused_parameters.
TEST(KeptGradients, StayWhereNoRankReachesThem) {
  on_kept_loops([](KeptLoop& loop) {
    for (int step = 0; step < 3; ++step) {
      loop.net->zero_grad(/*set_to_none=*/false);
      if (step == 1) loop.net->second.mutable_grad() = at::full({1}, 7.0, at::kDouble);
      if (step == 2) loop.net->second.mutable_grad().fill_(5);
      loop.step_by_forward(/*both=*/step == 0);
      EXPECT_NEAR(loop.first(), 1, 1e-12);
      EXPECT_NEAR(loop.second(), step == 0 ? 1 : step == 1 ? 7 : 5, 1e-12);
    }
    loop.net->zero_grad(/*set_to_none=*/false);
    loop.step_by_forward(/*both=*/false);
    EXPECT_EQ(loop.second(), 0);
    loop.step_by_forward(/*both=*/loop.is_last());  // one of the ranks does: added to
    EXPECT_NEAR(loop.second(), 1.0 / loop.communicator.size(), 1e-12);
    EXPECT_NEAR(loop.first(), 2, 1e-12);
  });
}

// It makes no backward, and its optimizer's steps are those of the others all the same.
TEST(KeptGradients, AreAddedToOnARankWithoutSamplesToo) {
  for (const bool skips : {true, false}) {
    for (const int ranks : {2, 3}) {
      run_ranks(ranks, [&](Communicator& communicator) {
        KeptLoop loop(communicator);
        torch::optim::SGD optimizer(loop.net->parameters(),
                                    torch::optim::SGDOptions(0.1).weight_decay(0.5));
        const auto step = [&](bool both) {
          if (!loop.is_last()) {
            loop.step_by_forward(both);
          } else if (skips) {
            loop.parallel.skip();
          } else {
            loop.parallel.finish(0);
          }
        };
        step(true);
        step(true);
        EXPECT_NEAR(loop.first(), 2, 1e-12);  // nobody has zeroed
        loop.net->zero_grad(/*set_to_none=*/false);
        step(false);
        ASSERT_TRUE(loop.net->second.grad().defined());
        EXPECT_EQ(loop.second(), 0);
        optimizer.step();  // decay alone, on all ranks
        EXPECT_NEAR(loop.net->second.item<double>(), 0.95, 1e-12);
      });
    }
  }
}

TEST(KeptGradients, OfSomeRanksAloneAreRefused) {
  for (const bool skips : {true, false}) {
    const auto messages = agreed_errors<ReductionMismatch>(3, [&](Communicator& communicator) {
      KeptLoop loop(communicator);
      loop.step_by_forward(true);
      if (communicator.rank() != 1) loop.net->zero_grad();
      if (skips && communicator.rank() == 1) {
        loop.parallel.skip();
      } else {
        loop.step_by_forward(true);
      }
    });
    EXPECT_THAT(messages, Each(AllOf(HasSubstr("on 1 of the 3 ranks"),
                                     HasSubstr("zero_grad() before a step on all ranks"))));
  }
}

TEST(KeptGradients, AreAddedToByAccumulationsThatFinishEndsToo) {
  run_ranks(2, [](Communicator& communicator) {
    KeptLoop loop(communicator);
    loop.step_by_forward(true);
    loop.net->zero_grad(/*set_to_none=*/false);
    loop.net->second.mutable_grad().fill_(5);
    if (loop.is_last()) {
      {
        const auto scope = loop.parallel.accumulate();
        loop.step_by_forward(/*both=*/false);
      }
      loop.parallel.finish();
    } else {
      loop.step_by_forward(/*both=*/false);
    }
    EXPECT_NEAR(loop.first(), 1, 1e-12);
    EXPECT_NEAR(loop.second(), 5, 1e-12);
  });
}

// A rank that has joined and follows has none to add to.
TEST(KeptGradients, AreRefusedBesideARankThatFollows) {
  const auto messages = agreed_errors<ReductionMismatch>(2, [](Communicator& communicator) {
    KeptLoop loop(communicator);
    loop.step_by_forward(true);
    if (loop.is_last()) loop.parallel.join([] {});
    loop.net->zero_grad();
    loop.step_by_forward(true);  // from none: as it does
    loop.net->zero_grad(/*set_to_none=*/false);
    loop.step_by_forward(true);
  });
  EXPECT_THAT(messages, Each(AllOf(HasSubstr("on 1 of the 2 ranks"),
                                   HasSubstr("a rank in join(after_step) starts from none"))));
}

// Without a backward: what was written counts, also in the place of what the step before has left,
// and while gradients move to other places (behind the first step); what it has left does not.
TEST(KeptGradients, CountInFinishWhereTheProgramWroteThem) {
  on_kept_loops([](KeptLoop& loop) {
    const double mean = (loop.communicator.size() + 1) / 2.0;
    for (int step = 0; step < 4; ++step) {
      loop.step_by_finish(/*both=*/true);
      if (step % 2 == 1) loop.net->zero_grad(/*set_to_none=*/false);
      loop.net->second.mutable_grad().fill_(loop.communicator.rank() + 1);
      loop.parallel.finish(2);
      EXPECT_FALSE(loop.net->first.grad().defined());
      EXPECT_NEAR(loop.second(), mean, 1e-12);
      loop.net->second.mutable_grad().mul_(10);
      loop.net->first.mutable_grad() = at::full({1}, 3.0, at::kDouble);
      loop.parallel.finish(2);
      EXPECT_NEAR(loop.first(), 3, 1e-12);
      EXPECT_NEAR(loop.second(), 10 * mean, 1e-12);
      loop.net->zero_grad(/*set_to_none=*/step % 2 == 0);
    }
  });
}

// Behind `begin`, or behind backward, what is written counts; what a step left does not.
TEST(KeptGradients, CountWhereTheyAreWrittenWithinTheStep) {
  on_kept_loops([](KeptLoop& loop) {
    for (const bool begins : {true, false, true}) {
      loop.step_by_finish(/*both=*/true);
      if (begins) loop.parallel.begin(2);
      const auto write = [&] {
        loop.net->second.mutable_grad() =
            at::full({1}, loop.is_last() ? 1.0 * loop.communicator.size() : 0.0, at::kDouble);
      };
      if (begins) write();
      loop.net->forward(loop.input(), /*both=*/false).mean().backward();
      if (!begins) write();
      loop.parallel.finish(2);
      EXPECT_NEAR(loop.first(), 1, 1e-12);
      EXPECT_NEAR(loop.second(), 1, 1e-12);
      loop.net->zero_grad(/*set_to_none=*/false);
      loop.step_by_finish(/*both=*/false);  // zeros that were left are no gradient
      EXPECT_FALSE(loop.net->second.grad().defined());
    }
  });
}

TEST(KeptGradients, WrittenBeforeTheBackwardAreRefused) {
  for (const bool zeroes : {true, false}) {
    on_kept_loops([&](KeptLoop& loop) {
      loop.step_by_finish(/*both=*/true);
      if (zeroes) loop.net->zero_grad(/*set_to_none=*/false);
      loop.net->second.mutable_grad().add_(4);
      try {
        loop.net->forward(loop.input(), /*both=*/false).mean().backward();
        ADD_FAILURE() << "no error";
      } catch (const RunError& error) {
        EXPECT_THAT(error.what(), AllOf(HasSubstr("`.grad` of parameter \"second\""),
                                        HasSubstr("begin(samples)")));
      }
      loop.net->zero_grad();
      loop.step_by_finish(/*both=*/true);  // and goes on
      EXPECT_NEAR(loop.second(), 1, 1e-12);
    });
  }
}

}  // namespace
}  // namespace thaw
