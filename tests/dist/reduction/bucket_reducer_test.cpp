#include "dist/reduction/bucket_reducer.h"

#include <ATen/ops/ones.h>
#include <ATen/ops/zeros.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/parallel/step_monitor.h"
#include "dist/communicator/in_process/in_process.h"
#include "tests/dist/communicator/communicator_contract.h"
#include "tests/dist/reduction/small_network.h"

namespace thaw {
namespace {

using ::testing::HasSubstr;
using testing_network::loss_of;
using testing_network::reduce_step;
using testing_network::relative_difference;
using testing_network::Samples;
using testing_network::Slice;
using testing_network::SmallNetwork;

// Tiny caps, so that the small network has several buckets and one parameter above the cap.
constexpr BucketOptions kSmallBuckets{.cap_bytes = 200, .first_cap_bytes = 100};

class BucketReducer : public ::testing::TestWithParam<Overlap> {
 protected:
  ReducerOptions options() const { return {kSmallBuckets, GetParam()}; }

  std::unique_ptr<GradientReducer> reducer_for(Communicator& communicator,
                                               const SmallNetwork& network) const {
    return make_bucket_reducer(communicator, network.active, network.frozen, options());
  }
};

INSTANTIATE_TEST_SUITE_P(Overlap, BucketReducer, ::testing::Values(Overlap::kOff, Overlap::kOn),
                         [](const auto& instance) {
                           return instance.param == Overlap::kOn ? "On" : "Off";
                         });

/// Weights after 30 steps with the whole batch in one process.
SmallNetwork trained_alone(const Samples& samples, std::size_t first_active) {
  SmallNetwork network;
  network.activate(first_active, 6);
  const std::int64_t total = samples.inputs.size(0);
  for (int step = 0; step < 30; ++step) {
    for (NamedTensor& parameter : network.parameters) parameter.tensor.mutable_grad().reset();
    loss_of(network, samples, 0, total, total).backward();
    network.descend(0.1);
  }
  return network;
}

// Whatever the ranks, the remainder and the micro-batches: the gradient of the mean over the global
// batch. 13 divides by none of 2, 3, 4; with 1 and 2 samples some shares are empty.
TEST_P(BucketReducer, TrainsAsOneProcessWithTheWholeBatch) {
  for (const std::int64_t total : {13, 2, 1}) {
    for (const std::size_t first_active : {0, 2, 4}) {
      const Samples samples(total, at::kDouble);
      const SmallNetwork alone = trained_alone(samples, first_active);
      for (const int ranks : {1, 2, 3, 4}) {
        for (const std::int64_t micro : {2, 100}) {
          run_ranks(ranks, [&](Communicator& communicator) {
            SmallNetwork network;
            network.activate(first_active, 6);
            const auto reducer = reducer_for(communicator, network);
            for (int step = 0; step < 30; ++step) {
              reduce_step(*reducer, network, samples, {total, communicator.rank(), ranks}, micro);
              network.descend(0.1);
            }
            for (std::size_t i = 0; i < 6; ++i) {
              EXPECT_LE(
                  relative_difference(network.parameters[i].tensor, alone.parameters[i].tensor),
                  1e-12)
                  << network.parameters[i].name << ", " << ranks << " ranks, " << total
                  << " samples in micro-batches of " << micro;
              contract::expect_same_bits(communicator, network.parameters[i].tensor);
            }
          });
        }
      }
    }
  }
}

TEST_P(BucketReducer, GivesAllRanksTheSameBitsInEveryType) {
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
    run_ranks(3, [&](Communicator& communicator) {
      const Samples samples(10, type);
      SmallNetwork network(type);
      network.activate(0, 6);
      const auto reducer = reducer_for(communicator, network);
      reduce_step(*reducer, network, samples, {10, communicator.rank(), 3}, 2);
      for (const NamedTensor& parameter : network.parameters) {
        EXPECT_EQ(parameter.tensor.grad().scalar_type(), type);
        contract::expect_same_bits(communicator, parameter.tensor.grad());
      }
    });
  }
}

TEST_P(BucketReducer, AccumulatesInPlaceInTheSlab) {
  run_ranks(2, [&](Communicator& communicator) {
    const Samples samples(8, at::kDouble);
    SmallNetwork network;
    network.activate(0, 6);
    const auto reducer = reducer_for(communicator, network);
    reducer->begin({4, 8});
    loss_of(network, samples, 0, 2, 8).backward();
    const void* first = network.parameters[0].tensor.grad().const_data_ptr();
    reducer->last_backward();
    loss_of(network, samples, 2, 4, 8).backward();
    EXPECT_EQ(network.parameters[0].tensor.grad().const_data_ptr(), first);
    reducer->finish();
    EXPECT_EQ(network.parameters[0].tensor.grad().const_data_ptr(), first);
  });
}

TEST_P(BucketReducer, WorksWithoutLastBackward) {
  run_ranks(2, [&](Communicator& communicator) {
    const at::Tensor parameter = at::ones({3}, at::kDouble).set_requires_grad(true);
    const std::vector<NamedTensor> active = {{"p", parameter}};
    const auto reducer = make_bucket_reducer(communicator, active, {}, options());
    for (int step = 0; step < 2; ++step) {
      reducer->begin({1, 2});
      parameter.sum().backward();  // its gradient is expanded: it has no memory of its own
      reducer->finish();
      EXPECT_TRUE(parameter.grad().equal(at::ones({3}, at::kDouble).mul(2)));
    }
  });
}

// What is made anew of autograd's nodes is where they run.
TEST_P(BucketReducer, FollowsAStreamWithoutLosingGradients) {
  run_ranks(2, [&](Communicator& communicator) {
    const at::Tensor parameter = at::ones({3, 2}, at::kDouble).set_requires_grad(true);
    const std::vector<NamedTensor> active = {{"p", parameter}};
    const auto reducer = make_bucket_reducer(communicator, active, {}, options());
    for (int step = 0; step < 3; ++step) {
      reducer->begin({1, 2});
      reducer->last_backward();
      reducer->follow_stream();
      parameter.mul(parameter).sum().backward();
      reducer->finish();
      reducer->follow_stream();
      EXPECT_TRUE(parameter.grad().equal(at::ones({3, 2}, at::kDouble).mul(4)));
    }
  });
}

TEST_P(BucketReducer, CountsAParameterUsedTwiceOnce) {
  run_ranks(2, [&](Communicator& communicator) {
    const at::Tensor twice = at::ones({3}, at::kDouble).set_requires_grad(true);
    const at::Tensor once = at::ones({3}, at::kDouble).set_requires_grad(true);
    // The same tensor under two names, as tied weights are listed by some modules.
    const std::vector<NamedTensor> active = {{"once", once}, {"twice", twice}, {"tied", twice}};
    const auto reducer = make_bucket_reducer(communicator, active, {}, options());
    reducer->begin({1, 2});
    reducer->last_backward();
    twice.mul(once).mul(twice).sum().backward();
    reducer->finish();
    EXPECT_TRUE(twice.grad().equal(at::ones({3}, at::kDouble).mul(4)));
    EXPECT_TRUE(once.grad().equal(at::ones({3}, at::kDouble).mul(2)));
    EXPECT_EQ(reducer->counters().payload_bytes, 2 * 3 * 8);
  });
}

TEST_P(BucketReducer, LeavesAParameterThatNoRankUsedUndefined) {
  run_ranks(3, [&](Communicator& communicator) {
    SmallNetwork network;
    network.activate(0, 6);
    const auto reducer = reducer_for(communicator, network);
    for (int step = 0; step < 2; ++step) {
      reducer->begin({1, 3});
      reducer->last_backward();
      network.parameters[2].tensor.sum().backward();
      reducer->finish();
      for (std::size_t i = 0; i < 6; ++i) {
        EXPECT_EQ(network.parameters[i].tensor.grad().defined(), i == 2);
      }
    }
  });
}

TEST_P(BucketReducer, CountsAParameterThatSomeRanksUsedAsZeroOnTheOthers) {
  run_ranks(3, [&](Communicator& communicator) {
    SmallNetwork network;
    network.activate(0, 6);
    const auto reducer = reducer_for(communicator, network);
    const at::Tensor& used = network.parameters[0].tensor;
    for (int step = 0; step < 3; ++step) {
      const int user = step % 3;  // what others had in the step before must not count
      reducer->begin({1, 3});
      reducer->last_backward();
      if (communicator.rank() == user) {
        used.sum().mul(5).backward();
      } else {
        network.parameters[5].tensor.sum().backward();
      }
      reducer->finish();
      EXPECT_TRUE(used.grad().equal(at::ones({7, 5}, at::kDouble).mul(5)));
    }
  });
}

TEST_P(BucketReducer, GoesOnWithoutActiveParameters) {
  run_ranks(2, [&](Communicator& communicator) {
    SmallNetwork network;
    network.activate(0, 0);
    const auto reducer = reducer_for(communicator, network);
    reducer->begin({1, 2});
    reducer->finish();
    EXPECT_EQ(reducer->counters().collectives, 0);
    EXPECT_EQ(reducer->counters().payload_bytes, 0);
  });
}

TEST_P(BucketReducer, KeepsTheMemoryLayoutOfParameters) {
  run_ranks(2, [&](Communicator& communicator) {
    const at::Tensor kernel = at::randn({4, 3, 2, 2}, at::kDouble)
                                  .contiguous(at::MemoryFormat::ChannelsLast)
                                  .set_requires_grad(true);
    const std::vector<NamedTensor> active = {{"kernel", kernel}};
    const auto reducer = make_bucket_reducer(communicator, active, {}, options());
    reducer->begin({1, 2});
    reducer->last_backward();
    const at::Tensor weights = at::arange(48, at::kDouble).reshape({4, 3, 2, 2});
    kernel.mul(weights).sum().backward();
    reducer->finish();
    EXPECT_EQ(kernel.grad().strides(), kernel.strides());
    EXPECT_TRUE(kernel.grad().equal(weights.mul(2)));
  });
}

TEST_P(BucketReducer, AccumulatesUnderCreateGraph) {
  run_ranks(2, [&](Communicator& communicator) {
    const at::Tensor parameter = at::ones({3}, at::kDouble).set_requires_grad(true);
    const std::vector<NamedTensor> active = {{"p", parameter}};
    const auto reducer = make_bucket_reducer(communicator, active, {}, options());
    reducer->begin({2, 4});
    parameter.mul(parameter).sum().backward({}, /*keep_graph=*/true, /*create_graph=*/true);
    reducer->last_backward();
    parameter.mul(parameter).sum().backward({}, /*keep_graph=*/true, /*create_graph=*/true);
    reducer->finish();
    EXPECT_TRUE(parameter.grad().equal(at::ones({3}, at::kDouble).mul(8)));
    EXPECT_FALSE(parameter.grad().requires_grad());
  });
}

TEST_P(BucketReducer, CountsBytesOfActiveParametersOnly) {
  run_ranks(2, [&](Communicator& communicator) {
    SmallNetwork network(at::kFloat);
    network.activate(2, 6);
    const auto reducer = reducer_for(communicator, network);
    const Samples samples(4, at::kFloat);
    reduce_step(*reducer, network, samples, {4, communicator.rank(), 2}, 100);
    const ReductionCounters counters = reducer->counters();
    EXPECT_EQ(counters.payload_bytes, (6 * 7 + 6 + 3 * 6 + 3) * 4);
    EXPECT_GT(counters.padding_bytes, 0);
    EXPECT_EQ(counters.collectives, 3);  // head; middle.bias; middle.weight with the flags
    EXPECT_GT(counters.exposed_seconds, 0);
  });
}

TEST_P(BucketReducer, TellsTheMonitorEachBucketThatLeaves) {
  run_ranks(2, [&](Communicator& communicator) {
    StepMonitor monitor;
    ReducerOptions watched = options();
    watched.monitor = &monitor;
    SmallNetwork network;
    network.activate(0, 6);
    const auto reducer = make_bucket_reducer(communicator, network.active, network.frozen, watched);
    EXPECT_EQ(monitor.place().bucket, -1);
    const Samples samples(4, at::kDouble);
    reduce_step(*reducer, network, samples, {4, communicator.rank(), 2}, 100);
    EXPECT_EQ(monitor.place().bucket, reducer->counters().collectives - 1);
  });
}

TEST_P(BucketReducer, LeavesNoHooksBehind) {
  run_ranks(2, [&](Communicator& communicator) {
    SmallNetwork network;
    network.activate(0, 6);
    const Samples samples(4, at::kDouble);
    // The graph keeps the accumulators alive, and with them any hook that was left.
    const at::Tensor loss = loss_of(network, samples, 0, 4, 4);
    for (int stage = 0; stage < 3; ++stage) {
      const auto reducer = reducer_for(communicator, network);
      reduce_step(*reducer, network, samples, {4, communicator.rank(), 2}, 100);
    }
    for (NamedTensor& parameter : network.parameters) parameter.tensor.mutable_grad().reset();
    loss.backward();
    EXPECT_TRUE(network.parameters[0].tensor.grad().defined());
  });
}

TEST_P(BucketReducer, SurvivesAStepThatWasGivenUp) {
  run_ranks(2, [&](Communicator& communicator) {
    SmallNetwork network;
    network.activate(0, 6);
    const Samples samples(4, at::kDouble);
    const auto reducer = reducer_for(communicator, network);
    reducer->begin({2, 4});
    loss_of(network, samples, 0, 2, 4).backward();  // never finished
    reduce_step(*reducer, network, samples, {4, communicator.rank(), 2}, 100);

    SmallNetwork alone;
    alone.activate(0, 6);
    loss_of(alone, samples, 0, 4, 4).backward();
    for (std::size_t i = 0; i < 6; ++i) {
      EXPECT_LE(relative_difference(network.parameters[i].tensor.grad(),
                                    alone.parameters[i].tensor.grad()),
                1e-12);
    }
  });
}

}  // namespace
}  // namespace thaw
