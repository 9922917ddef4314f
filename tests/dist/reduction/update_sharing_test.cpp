// What of sharded state travels beside forward and backward, and that nobody waits for ever or
// reads too early.
#include "dist/reduction/sharding/update_sharing.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/tanh.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <functional>
#include <thread>
#include <utility>
#include <vector>

#include "core/parallel/sharded_state.h"
#include "dist/communicator/in_process/in_process.h"
#include "dist/reduction/sharding/sliced_reducer.h"
#include "tests/dist/communicator/communicator_contract.h"
#include "tests/dist/reduction/sharded_steps.h"
#include "tests/dist/reduction/small_network.h"
#include "tests/support/forwarding_communicator.h"

namespace thaw {
namespace {

using ::testing::Contains;
using ::testing::Each;
using testing_network::descend_sharded;
using testing_network::Samples;
using testing_network::Slice;
using testing_network::SmallNetwork;

class SumsBesideBackward : public ::testing::TestWithParam<Sharding> {};
INSTANTIATE_TEST_SUITE_P(Sharding, SumsBesideBackward,
                         ::testing::Values(Sharding::kOptimizer, Sharding::kGradients));

class UpdatesBesideForward : public ::testing::TestWithParam<Sharding> {};
INSTANTIATE_TEST_SUITE_P(Sharding, UpdatesBesideForward,
                         ::testing::Values(Sharding::kOptimizer, Sharding::kGradients));

/// Each rank's backward waits for the other's in the lower layer, as in a synchronised batch
/// normalisation, and rank 1's leaves the head out, whose buckets come before that.
TEST_P(SumsBesideBackward, NeverWaitForOthersWithinIt) {
  constexpr std::size_t kSteps = 4;
  for (const Overlap overlap : {Overlap::kOff, Overlap::kOn, Overlap::kAuto}) {
    std::array<std::atomic<int>, kSteps> there{};
    run_ranks(2, [&](Communicator& communicator) {
      const Samples samples(4, at::kDouble);
      SmallNetwork network;
      network.activate(0, 6);
      const auto reducer = make_sliced_reducer(communicator, network.active, network.frozen,
                                               {.buckets = {.cap_bytes = 64, .first_cap_bytes = 64},
                                                .overlap = overlap,
                                                .sharding = GetParam()});
      for (std::size_t step = 0; step < kSteps; ++step) {
        reducer->begin({2, 4});
        reducer->last_backward();
        const auto& all = network.parameters;
        const at::Tensor lower = at::tanh(at::linear(samples.inputs, all[0].tensor, all[1].tensor));
        bool met = false;
        lower.register_hook([&](const at::Tensor&) {
          ++there[step];
          for (int i = 0; i < 10'000 && there[step] < 2; ++i) {
            std::this_thread::sleep_for(std::chrono::milliseconds(1));
          }
          met = there[step] == 2;
        });
        const at::Tensor middle = at::tanh(at::linear(lower, all[2].tensor, all[3].tensor));
        const at::Tensor result =
            communicator.rank() == 0 ? at::linear(middle, all[4].tensor, all[5].tensor) : middle;
        result.sum().backward();
        EXPECT_TRUE(met) << "a rank waited for the other one in a sum of gradients";
        reducer->finish();
        for (const ParameterSlice& slice : reducer->sharded()->slices()) {
          EXPECT_TRUE(slice.part.grad().defined()) << slice.name;
        }
        descend_sharded(*reducer->sharded(), 0.1);
      }
    });
  }
}

/// Steps whose forward waits for each layer's updates before it reads them, or for none of its own
/// accord.
std::vector<Fingerprint> train_beside(Communicator& communicator, ReducerOptions options,
                                      bool beside) {
  const Samples samples(9, at::kFloat);
  SmallNetwork network(at::kFloat);
  network.activate(0, 6);
  const auto reducer =
      make_sliced_reducer(communicator, network.active, network.frozen, std::move(options));
  const Slice slice(9, communicator.rank(), communicator.size());
  const auto& all = network.parameters;
  ShardedState& sharded = *reducer->sharded();
  for (int step = 0; step < 12; ++step) {
    reducer->begin({slice.last - slice.first, 9});
    reducer->last_backward();
    at::Tensor hidden = samples.inputs.slice(0, slice.first, slice.last);
    for (std::size_t layer = 0; layer < 3; ++layer) {
      const std::array<std::size_t, 2> own = {2 * layer, 2 * layer + 1};
      if (beside) sharded.wait_for_updates(own);
      hidden = at::tanh(at::linear(hidden, all[own[0]].tensor, all[own[1]].tensor));
    }
    hidden.sum().div(9).backward();
    reducer->finish();
    const c10::AutoGradMode no_grad(false);
    for (const ParameterSlice& part : sharded.slices()) {
      at::Tensor(part.part).sub_(part.part.grad(), 0.1);
    }
    if (!beside) sharded.share_updates();
    if (beside) sharded.start_sharing_updates();
  }
  // A step that reads none of them, as one without samples: its end waits.
  reducer->begin({0, 9});
  reducer->finish();
  std::vector<Fingerprint> bits;
  for (const NamedTensor& each : network.parameters) {
    contract::expect_same_bits(communicator, each.tensor);
    bits.push_back(contract::bits_of(each.tensor));
  }
  return bits;
}

TEST_P(UpdatesBesideForward, HaveTheBitsOfThoseThatAreWaitedFor) {
  for (int ranks = 2; ranks <= 4; ++ranks) {
    run_ranks(ranks, [&](Communicator& communicator) {
      const auto options = [&](Overlap overlap) {
        return ReducerOptions{.buckets = {.cap_bytes = 100, .first_cap_bytes = 100},
                              .overlap = overlap,
                              .sharding = GetParam()};
      };
      const auto plain = train_beside(communicator, options(Overlap::kOff), /*beside=*/false);
      for (const Overlap overlap : {Overlap::kOff, Overlap::kOn, Overlap::kAuto}) {
        EXPECT_EQ(train_beside(communicator, options(overlap), /*beside=*/true), plain);
        EXPECT_EQ(train_beside(communicator, options(overlap), /*beside=*/false), plain);
      }
    });
  }
}

/// Gathers slices once `before` has returned, which is called on the thread that gathers.
class DelayedGathers final : public ForwardingCommunicator {
 public:
  DelayedGathers(Communicator& inner, std::function<void()> before)
      : ForwardingCommunicator(inner), before_(std::move(before)) {}
  using ForwardingCommunicator::all_gather;
  void all_gather(at::Tensor& tensor, std::span<const std::int64_t> cuts) override {
    before_();
    ForwardingCommunicator::all_gather(tensor, cuts);
  }

 private:
  std::function<void()> before_;
};

TEST_P(UpdatesBesideForward, AreUnderWayUntilTheyAreWaitedFor) {
  run_ranks(2, [&](Communicator& inner) {
    std::atomic<bool> held = true;
    DelayedGathers communicator(inner, [&] {
      for (int i = 0; i < 10'000 && held; ++i) {
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
      }
    });
    SmallNetwork network;
    network.activate(0, 6);
    const auto reducer = make_sliced_reducer(communicator, network.active, network.frozen,
                                             {.buckets = {.cap_bytes = 200, .first_cap_bytes = 200},
                                              .overlap = Overlap::kOn,
                                              .sharding = GetParam()});
    const Samples samples(4, at::kDouble);
    testing_network::reduce_step(*reducer, network, samples, Slice(4, inner.rank(), 2), 2);
    ShardedState& sharded = *reducer->sharded();
    const c10::AutoGradMode no_grad(false);
    for (const ParameterSlice& slice : sharded.slices()) at::Tensor(slice.part).fill_(7);
    EXPECT_TRUE(sharded.start_sharing_updates());
    const auto is_there = [](const NamedTensor& each) {
      return each.tensor.eq(7).all().item<bool>();
    };
    EXPECT_FALSE(std::ranges::all_of(network.parameters, is_there));
    const at::Tensor& weight = network.parameters[0].tensor;
    const auto before = weight._version();
    held = false;
    sharded.wait_for_updates(std::array<std::size_t, 1>{0});
    EXPECT_TRUE(is_there(network.parameters[0]));
    EXPECT_GT(weight._version(), before);
    sharded.wait_for_updates();
    EXPECT_TRUE(std::ranges::all_of(network.parameters, is_there));
  });
}

/// A helper's gathers take twice as long as the rank's own, as where no core is free for it; the
/// forward that they could travel beside is long, or there is none.
TEST_P(UpdatesBesideForward, AreGivenUpByAutoWhereForwardHidesNothing) {
  using std::chrono::milliseconds;
  for (const bool hides : {false, true}) {
    run_ranks(2, [&](Communicator& inner) {
      const std::thread::id self = std::this_thread::get_id();
      DelayedGathers communicator(inner, [self] {
        std::this_thread::sleep_for(milliseconds(std::this_thread::get_id() == self ? 2 : 4));
      });
      SmallNetwork network;
      network.activate(0, 6);
      const auto reducer =
          make_sliced_reducer(communicator, network.active, network.frozen,
                              {.buckets = {.cap_bytes = 200, .first_cap_bytes = 200},
                               .overlap = Overlap::kAuto,
                               .sharding = GetParam()});
      const Samples samples(4, at::kDouble);
      std::vector<int> beside;
      for (int step = 0; step < 14; ++step) {
        testing_network::reduce_step(*reducer, network, samples, Slice(4, inner.rank(), 2), 2);
        beside.push_back(reducer->sharded()->start_sharing_updates() ? 1 : 0);
        if (hides) std::this_thread::sleep_for(milliseconds(40));
        reducer->sharded()->wait_for_updates();
      }
      // Both ways are tried in turn before one of them stays.
      const std::vector<int> tried(beside.begin(), beside.begin() + 11);
      EXPECT_THAT(tried, Contains(0));
      EXPECT_THAT(tried, Contains(1));
      EXPECT_THAT(std::vector<int>(beside.begin() + 11, beside.end()), Each(hides ? 1 : 0));
    });
  }
}

}  // namespace
}  // namespace thaw
