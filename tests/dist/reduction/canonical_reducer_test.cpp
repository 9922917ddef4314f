#include "dist/reduction/canonical_reducer.h"

#include <ATen/Parallel.h>
#include <ATen/ops/equal.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>

#include "core/parallel/sum_tree.h"
#include "dist/communicator/in_process/in_process.h"
#include "dist/reduction/bucket_planner.h"
#include "dist/reduction/bucket_slabs.h"
#include "dist/reduction/partial_sum.h"
#include "tests/dist/reduction/small_network.h"

namespace thaw {
namespace {

using testing::HasSubstr;
using testing_network::loss_of;
using testing_network::Samples;
using testing_network::Slice;
using testing_network::SmallNetwork;

constexpr std::int64_t kShards = 8;

/// Of one shard that has samples.
using ShardLoss = std::function<at::Tensor(const SmallNetwork&, const Samples&, const Slice&)>;

at::Tensor whole_loss(const SmallNetwork& network, const Samples& samples, const Slice& slice) {
  return loss_of(network, samples, slice.first, slice.last, samples.inputs.size(0));
}

/// One optimizer step's gradients on one rank.
void reduce_step(GradientReducer& reducer, Communicator& communicator, const SmallNetwork& network,
                 const Samples& samples, const ShardLoss& loss = whole_loss) {
  const std::int64_t total = samples.inputs.size(0);
  const ShardRange own = shards_of_rank(kShards, communicator.rank(), communicator.size());
  reducer.begin({0, total});
  for (std::int64_t shard = own.first; shard < own.last; ++shard) {
    const Slice slice(total, static_cast<int>(shard), kShards);
    if (slice.first < slice.last) loss(network, samples, slice).backward();
    reducer.finish_shard();
  }
  reducer.finish();
}

/// Rank 0's parameters after some steps in float32; those that got no gradient stay as they were.
std::vector<at::Tensor> train(int ranks, std::int64_t total, const ShardLoss& loss = whole_loss) {
  std::vector<at::Tensor> result;
  run_ranks(ranks, [&](Communicator& communicator) {
    at::set_num_threads(1);
    const Samples samples(total, at::kFloat);
    SmallNetwork network(at::kFloat);
    network.activate(1, 6);
    const auto reducer =
        make_canonical_reducer(communicator, network.active, network.frozen, {.shards = kShards});
    for (int step = 0; step < 5; ++step) {
      reduce_step(*reducer, communicator, network, samples, loss);
      network.descend(0.1);
    }
    if (communicator.rank() > 0) return;
    for (const NamedTensor& parameter : network.parameters) result.push_back(parameter.tensor);
  });
  return result;
}

void expect_same_bits(const std::vector<at::Tensor>& found, const std::vector<at::Tensor>& expected,
                      int ranks) {
  ASSERT_EQ(found.size(), expected.size());
  for (std::size_t i = 0; i < found.size(); ++i) {
    EXPECT_TRUE(at::equal(found[i], expected[i])) << "parameter " << i << ", " << ranks << " ranks";
  }
}

TEST(CanonicalReducer, HasTheSameBitsAtAnyNumberOfRanks) {
  for (const std::int64_t total : {64, 13, 3, 1}) {
    const std::vector<at::Tensor> alone = train(1, total);
    for (const int ranks : {2, 3, 4, 8}) expect_same_bits(train(ranks, total), alone, ranks);
  }
}

TEST(CanonicalReducer, IsTheMeanOverTheBatch) {
  const Samples samples(13, at::kDouble);
  run_ranks(3, [&](Communicator& communicator) {
    at::set_num_threads(1);
    SmallNetwork network, alone;
    network.activate(0, 6);
    alone.activate(0, 6);
    const auto reducer =
        make_canonical_reducer(communicator, network.active, network.frozen, {.shards = kShards});
    for (int step = 0; step < 3; ++step) {
      reduce_step(*reducer, communicator, network, samples);
      network.descend(0.1);
      for (NamedTensor& parameter : alone.parameters) parameter.tensor.mutable_grad().reset();
      loss_of(alone, samples, 0, 13, 13).backward();
      alone.descend(0.1);
    }
    for (std::size_t i = 0; i < 6; ++i) {
      EXPECT_LE(testing_network::relative_difference(network.parameters[i].tensor,
                                                     alone.parameters[i].tensor),
                1e-12);
    }
    EXPECT_EQ(reducer->counters().payload_bytes, (7 * 5 + 7 + 6 * 7 + 6 + 3 * 6 + 3) * 8);
  });
}

/// Shards of an odd number leave the head out, and nothing reaches the lower bias.
at::Tensor partial_loss(const SmallNetwork& network, const Samples& samples, const Slice& slice) {
  const auto& parameters = network.parameters;
  const at::Tensor input = samples.inputs.slice(0, slice.first, slice.last);
  at::Tensor hidden = at::tanh(at::linear(input, parameters[0].tensor));
  hidden = at::tanh(at::linear(hidden, parameters[2].tensor, parameters[3].tensor));
  if (slice.first % 2 == 1) return hidden.square().sum();
  return at::linear(hidden, parameters[4].tensor, parameters[5].tensor).square().sum();
}

TEST(CanonicalReducer, ShardsThatLeaveAParameterOutDoNotCount) {
  const std::vector<at::Tensor> alone = train(1, kShards, partial_loss);
  for (const int ranks : {2, 3, 4}) {
    expect_same_bits(train(ranks, kShards, partial_loss), alone, ranks);
  }
  const SmallNetwork untrained(at::kFloat);
  EXPECT_TRUE(at::equal(alone[1], untrained.parameters[1].tensor));
  EXPECT_FALSE(at::equal(alone[5], untrained.parameters[5].tensor));
}

TEST(CanonicalReducer, WhatNoShardUsedHasNoGradientAndMayBeAnError) {
  const Samples samples(kShards, at::kFloat);
  run_ranks(3, [&](Communicator& communicator) {
    SmallNetwork network(at::kFloat);
    network.activate(1, 6);
    {
      const auto reducer =
          make_canonical_reducer(communicator, network.active, network.frozen, {.shards = kShards});
      reduce_step(*reducer, communicator, network, samples, partial_loss);
      EXPECT_FALSE(network.parameters[1].tensor.grad().defined());
      EXPECT_TRUE(network.parameters[5].tensor.grad().defined());
    }
    network.activate(2, 6);
    const auto reducer = make_canonical_reducer(communicator, network.active, network.frozen,
                                                {.unused = Unused::kError, .shards = kShards});
    try {
      reduce_step(*reducer, communicator, network, samples, partial_loss);
      FAIL() << "no error";
    } catch (const RunError& error) {
      EXPECT_THAT(error.what(), HasSubstr("\"head.weight\" is active but got a gradient on 4 of "
                                          "the 8 shards that had samples"));
    }
  });
}

TEST(CanonicalReducer, AFrozenParameterThatWasThawedIsAMismatchOnAllRanks) {
  const Samples samples(kShards, at::kFloat);
  run_ranks(3, [&](Communicator& communicator) {
    SmallNetwork network(at::kFloat);
    network.activate(2, 6);
    const auto reducer =
        make_canonical_reducer(communicator, network.active, network.frozen, {.shards = kShards});
    if (communicator.rank() == 1) network.parameters[0].tensor.set_requires_grad(true);
    try {
      reduce_step(*reducer, communicator, network, samples);
      ADD_FAILURE() << "no error";
    } catch (const ReductionMismatch& error) {
      EXPECT_THAT(error.what(), HasSubstr("lower.weight"));
      EXPECT_TRUE(error.agreed());
    }
  });
}

TEST(CanonicalReducer, RefusesWhatItCannotAddUpInOneOrder) {
  run_ranks(1, [&](Communicator& communicator) {
    const Samples samples(kShards, at::kFloat);
    SmallNetwork network(at::kFloat);
    network.activate(2, 6);
    const auto reducer =
        make_canonical_reducer(communicator, network.active, network.frozen, {.shards = kShards});
    const auto twice = [&](const SmallNetwork& same, const Samples& all, const Slice& slice) {
      whole_loss(same, all, slice).backward();
      return whole_loss(same, all, slice);
    };
    EXPECT_THROW(reduce_step(*reducer, communicator, network, samples, twice), RunError);
    reducer->begin({0, kShards});
    EXPECT_THROW(reducer->finish(), RunError);  // shards are left
    reduce_step(*reducer, communicator, network, samples);
    EXPECT_THROW(reducer->finish_shard(), RunError);
  });
  run_ranks(3, [&](Communicator& communicator) {
    SmallNetwork network(at::kFloat);
    network.activate(2, 6);
    EXPECT_THROW(
        make_canonical_reducer(communicator, network.active, network.frozen, {.shards = 2}),
        InputError);
  });
}

TEST(PartialSum, WhatAShardDidNotUseKeepsEvenTheSignsOfZeros) {
  SmallNetwork network(at::kFloat);
  network.activate(0, 6);
  std::vector<BucketEntry> entries;
  for (const NamedTensor& parameter : network.active) entries.push_back(bucket_entry(parameter));
  const BucketMap layout = plan_buckets(entries, {});
  PartialSum left(layout, network.active, {});
  PartialSum right(layout, network.active, {});
  left.start(std::vector<bool>(6, false), true);
  std::vector<bool> used(6, true);
  right.gradient(0).fill_(-0.0);
  right.gradient(1).fill_(0.0);
  right.gradient(2).fill_(3.0);
  used[3] = used[4] = used[5] = false;
  right.start(used, true);
  left.add(right);
  EXPECT_TRUE(std::signbit(left.gradient(0)[0][0].item<float>()));
  EXPECT_FALSE(std::signbit(left.gradient(1)[0].item<float>()));
  EXPECT_EQ(left.gradient(2)[0][0].item<float>(), 3);
  EXPECT_EQ(left.counts()[0], 1);
  EXPECT_EQ(left.counts()[3], 0);
  EXPECT_EQ(left.counts().back(), 2);
}

}  // namespace
}  // namespace thaw
