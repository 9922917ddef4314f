#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/parallel/one_rank.h"
#include "core/parallel/sum_tree.h"
#include "dist/reduction/bucket_reducer.h"
#include "dist/reduction/canonical_reducer.h"
#include "dist/reduction/sharding/sliced_reducer.h"
#include "tests/dist/communicator/communicator_contract.h"
#include "tests/dist/mpi/mpi_world.h"
#include "tests/dist/reduction/sharded_steps.h"
#include "tests/dist/reduction/small_network.h"

namespace thaw {
namespace {

using testing_network::relative_difference;
using testing_network::Samples;
using testing_network::Slice;
using testing_network::SmallNetwork;

// The same as on in-process ranks, where the cases are: here it is real processes and MPI's sums.
TEST(BucketReducer, TrainsAsOneProcessWithTheWholeBatch) {
  for (const Overlap overlap : {Overlap::kOff, Overlap::kOn, Overlap::kAuto}) {
    for (const std::int64_t total : {13, 1}) {
      const Samples samples(total, at::kDouble);
      SmallNetwork network, alone;
      network.activate(2, 6);
      alone.activate(2, 6);
      const auto communicator = mpi_world().split(0);
      const auto reducer = make_bucket_reducer(*communicator, network.active, network.frozen,
                                               {{.cap_bytes = 200}, overlap});
      for (int step = 0; step < 30; ++step) {
        const Slice slice(total, mpi_world().rank(), mpi_world().size());
        testing_network::reduce_step(*reducer, network, samples, slice, 3);
        network.descend(0.1);
        for (NamedTensor& parameter : alone.parameters) parameter.tensor.mutable_grad().reset();
        testing_network::loss_of(alone, samples, 0, total, total).backward();
        alone.descend(0.1);
      }
      for (std::size_t i = 0; i < 6; ++i) {
        EXPECT_LE(relative_difference(network.parameters[i].tensor, alone.parameters[i].tensor),
                  1e-12);
        contract::expect_same_bits(mpi_world(), network.parameters[i].tensor);
      }
    }
  }
}

TEST(SlicedReducer, TrainsAsOneProcessWithTheWholeBatch) {
  for (const Sharding sharding : {Sharding::kOptimizer, Sharding::kGradients}) {
    for (const Overlap overlap : {Overlap::kOff, Overlap::kOn, Overlap::kAuto}) {
      constexpr std::int64_t kTotal = 13;
      const Samples samples(kTotal, at::kDouble);
      SmallNetwork network, alone;
      network.activate(1, 6);
      alone.activate(1, 6);
      const auto communicator = mpi_world().split(0);
      const auto reducer = make_sliced_reducer(
          *communicator, network.active, network.frozen,
          {.buckets = {.cap_bytes = 200}, .overlap = overlap, .sharding = sharding});
      for (int step = 0; step < 30; ++step) {
        const Slice slice(kTotal, mpi_world().rank(), mpi_world().size());
        testing_network::reduce_step(*reducer, network, samples, slice, 3);
        if (ShardedState* sharded = reducer->sharded()) {
          testing_network::descend_sharded(*sharded, 0.1);
        } else {
          network.descend(0.1);
        }
        for (NamedTensor& parameter : alone.parameters) parameter.tensor.mutable_grad().reset();
        testing_network::loss_of(alone, samples, 0, kTotal, kTotal).backward();
        alone.descend(0.1);
      }
      for (std::size_t i = 0; i < 6; ++i) {
        EXPECT_LE(relative_difference(network.parameters[i].tensor, alone.parameters[i].tensor),
                  1e-12);
        contract::expect_same_bits(mpi_world(), network.parameters[i].tensor);
      }
    }
  }
}

/// Parameters after some steps of the canonical sum over eight shards.
std::vector<at::Tensor> train_canonically(Communicator& communicator,
                                          Sharding sharding = Sharding::kNone) {
  constexpr std::int64_t kTotal = 21;
  constexpr std::int64_t kShards = 8;
  const Samples samples(kTotal, at::kFloat);
  SmallNetwork network(at::kFloat);
  network.activate(2, 6);
  const auto reducer = make_canonical_reducer(communicator, network.active, network.frozen,
                                              {.shards = kShards, .sharding = sharding});
  const ShardRange own = shards_of_rank(kShards, communicator.rank(), communicator.size());
  for (int step = 0; step < 10; ++step) {
    reducer->begin({0, kTotal});
    for (std::int64_t shard = own.first; shard < own.last; ++shard) {
      const Slice slice(kTotal, static_cast<int>(shard), kShards);
      testing_network::loss_of(network, samples, slice.first, slice.last, kTotal).backward();
      reducer->finish_shard();
    }
    reducer->finish();
    if (ShardedState* sharded = reducer->sharded()) {
      testing_network::descend_sharded(*sharded, 0.1);
    } else {
      network.descend(0.1);
    }
  }
  std::vector<at::Tensor> result;
  for (const NamedTensor& parameter : network.parameters) result.push_back(parameter.tensor);
  return result;
}

TEST(CanonicalReducer, HasTheBitsOfOneProcess) {
  const auto communicator = mpi_world().split(0);
  const std::vector<at::Tensor> alone = train_canonically(*make_self_communicator());
  for (const Sharding sharding : {Sharding::kNone, Sharding::kGradients}) {
    const std::vector<at::Tensor> together = train_canonically(*communicator, sharding);
    for (std::size_t i = 0; i < alone.size(); ++i) {
      EXPECT_EQ(contract::bits_of(together[i]), contract::bits_of(alone[i])) << i;
    }
  }
}

}  // namespace
}  // namespace thaw
