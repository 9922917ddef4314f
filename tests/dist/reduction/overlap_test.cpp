#include <ATen/ops/full.h>
#include <ATen/ops/ones.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <thread>

#include "core/base/error.h"
#include "dist/communicator/in_process/in_process.h"
#include "dist/reduction/bucket_reducer.h"
#include "dist/reduction/overlap_choice.h"
#include "dist/reduction/sending/bucket_sender.h"
#include "tests/dist/communicator/communicator_contract.h"
#include "tests/dist/reduction/small_network.h"
#include "tests/support/forwarding_communicator.h"

namespace thaw {
namespace {

using ::testing::HasSubstr;
using testing_network::reduce_step;
using testing_network::Samples;
using testing_network::SmallNetwork;

/// Runs the trial of an automatic choice in which a step takes these seconds.
OverlapChoice after_trial(double without, double with, int* steps = nullptr) {
  OverlapChoice choice(Overlap::kAuto, 3);
  int count = 0;
  for (; !choice.wants_verdict(); ++count) choice.record(choice.on() ? with : without);
  if (steps) *steps = count;
  choice.decide(choice.trial_seconds());
  return choice;
}

TEST(OverlapChoice, KeepsTheFasterWay) {
  int steps = 0;
  EXPECT_TRUE(after_trial(2.0, 1.0, &steps).on());
  EXPECT_FALSE(after_trial(1.0, 2.0).on());
  EXPECT_FALSE(after_trial(1.0, 2.0).may_be_on());
  EXPECT_EQ(steps, 12);
}

TEST(OverlapChoice, IsNoChoiceWhereTheUserMadeIt) {
  EXPECT_TRUE(OverlapChoice(Overlap::kOn, 2).on());
  EXPECT_FALSE(OverlapChoice(Overlap::kOff, 2).on());
  EXPECT_FALSE(OverlapChoice(Overlap::kOff, 2).may_be_on());
}

TEST(OverlapChoice, IsOffWhereOneBucketIsAll) {
  for (const Overlap wanted : {Overlap::kAuto, Overlap::kOn}) {
    EXPECT_FALSE(OverlapChoice(wanted, 1).may_be_on());
    EXPECT_FALSE(OverlapChoice(wanted, 0).may_be_on());
  }
}

/// Counts the sums of tensors that have ended.
class CountingCommunicator final : public ForwardingCommunicator {
 public:
  using ForwardingCommunicator::ForwardingCommunicator;
  int sums() const { return sums_; }

  using ForwardingCommunicator::all_reduce;
  void all_reduce(at::Tensor& tensor) override {
    ForwardingCommunicator::all_reduce(tensor);
    ++sums_;
  }

 private:
  std::atomic<int> sums_ = 0;
};

// The first bucket is summed before backward has reached the second.
TEST(Overlap, SendsWhileBackwardGoesOn) {
  for (const Overlap overlap : {Overlap::kOn, Overlap::kOff}) {
    run_ranks(2, [&](Communicator& inner) {
      CountingCommunicator communicator(inner);
      const at::Tensor first = at::ones({4}).set_requires_grad(true);
      const at::Tensor second = at::ones({4}).set_requires_grad(true);
      const std::vector<NamedTensor> active = {{"first", first}, {"second", second}};
      const auto reducer = make_bucket_reducer(communicator, active, {},
                                               {{.cap_bytes = 16, .first_cap_bytes = 16}, overlap});
      reducer->begin({1, 2});
      reducer->last_backward();
      second.mul(3).sum().backward();
      for (int i = 0; i < 5000 && communicator.sums() == 0 && overlap == Overlap::kOn; ++i) {
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
      }
      EXPECT_EQ(communicator.sums(), overlap == Overlap::kOn ? 1 : 0);
      first.mul(2).sum().backward();
      reducer->finish();
      EXPECT_EQ(communicator.sums(), 2);
      EXPECT_TRUE(first.grad().equal(at::full({4}, 4.0F)));
      EXPECT_TRUE(second.grad().equal(at::full({4}, 6.0F)));
      EXPECT_EQ(reducer->counters().hidden_seconds > 0, overlap == Overlap::kOn);
    });
  }
}

TEST(Overlap, GivesTheSameBitsAsNone) {
  run_ranks(3, [](Communicator& communicator) {
    const Samples samples(10, at::kFloat);
    std::vector<Fingerprint> bits;
    for (const Overlap overlap : {Overlap::kOff, Overlap::kOn, Overlap::kAuto}) {
      SmallNetwork network(at::kFloat);
      network.activate(0, 6);
      const auto reducer = make_bucket_reducer(communicator, network.active, network.frozen,
                                               {{.cap_bytes = 100}, overlap});
      for (int step = 0; step < 20; ++step) {
        reduce_step(*reducer, network, samples, {10, communicator.rank(), 3}, 2);
        network.descend(0.1);
      }
      bits.push_back(contract::bits_of(network.parameters[0].tensor));
    }
    EXPECT_EQ(bits[1], bits[0]);
    EXPECT_EQ(bits[2], bits[0]);
  });
}

TEST(HelperSender, NoticesRanksAtDifferentBuckets) {
  const auto differ = [](Communicator& communicator) {
    if (communicator.rank() == 1) {
      // As a helper that is at its second slab.
      communicator.start_all_reduce(at::full({1}, 2.0, at::kDouble))->wait();
      return;
    }
    const auto sender = make_helper_sender(communicator);
    sender->send({at::ones({4})});
    sender->drain();
  };
  try {
    run_ranks(2, differ);
    FAIL() << "not noticed";
  } catch (const DisagreementError& error) {
    EXPECT_THAT(error.what(), HasSubstr("not at the same gradient bucket"));
  }
}

// The step dies half way, with a bucket handed over that the other rank will never send.
TEST(HelperSender, IsNotWaitedForWhenAStepDies) {
  try {
    run_ranks(2, [](Communicator& communicator) {
      const auto elsewhere = communicator.split(0);
      const at::Tensor first = at::ones({4}).set_requires_grad(true);
      const at::Tensor second = at::ones({4}).set_requires_grad(true);
      const std::vector<NamedTensor> active = {{"first", first}, {"second", second}};
      const auto reducer = make_bucket_reducer(
          communicator, active, {}, {{.cap_bytes = 16, .first_cap_bytes = 16}, Overlap::kOn});
      reducer->begin({1, 2});
      reducer->last_backward();
      if (communicator.rank() == 0) {
        second.sum().backward();
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
        throw RunError("planted");
      }
      elsewhere->barrier();
    });
    FAIL() << "no error";
  } catch (const RunError& error) {
    EXPECT_STREQ(error.what(), "planted");
  }
}

TEST(HelperSender, HandsFailuresToItsOwner) {
  std::vector<std::string> messages(2);
  try {
    run_ranks(2, [&](Communicator& communicator) {
      if (communicator.rank() == 1) throw RunError("planted");
      const auto sender = make_helper_sender(communicator);
      sender->send({at::ones({4})});
      try {
        sender->drain();
      } catch (const RunError& error) {
        messages[0] = error.what();
      }
      EXPECT_THROW(sender->send({at::ones({4})}), RunError);
    });
  } catch (const RunError& error) {
    messages[1] = error.what();
  }
  EXPECT_THAT(messages[0], HasSubstr("planted"));
  EXPECT_EQ(messages[1], "planted");
}

}  // namespace
}  // namespace thaw
