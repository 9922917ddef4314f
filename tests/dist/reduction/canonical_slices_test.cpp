// The canonical sum, shared out: of one process, or of ranks that each hold a slice of it.

#include <ATen/core/Tensor.h>
#include <ATen/ops/_foreach_norm.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/stack.h>
#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "core/parallel/gradient_reducer.h"
#include "core/parallel/sharded_state.h"
#include "core/parallel/sum_tree.h"
#include "dist/communicator/in_process/in_process.h"
#include "dist/reduction/canonical_reducer.h"
#include "tests/dist/communicator/communicator_contract.h"
#include "tests/dist/reduction/sharded_steps.h"
#include "tests/dist/reduction/small_network.h"

namespace thaw {
namespace {

using testing_network::all_of;
using testing_network::descend_sharded;
using testing_network::Samples;
using testing_network::Slice;
using testing_network::SmallNetwork;

/// Parameters after some steps of the canonical sum over eight shards, and the norms of gradients.
std::pair<std::vector<at::Tensor>, std::vector<float>> train_canonically(Communicator& communicator,
                                                                         Sharding sharding) {
  constexpr std::int64_t kTotal = 21;
  constexpr std::int64_t kShards = 8;
  const Samples samples(kTotal, at::kFloat);
  SmallNetwork network(at::kFloat);
  network.activate(2, 6);
  const auto reducer = make_canonical_reducer(communicator, network.active, network.frozen,
                                              {.shards = kShards, .sharding = sharding});
  const ShardRange own = shards_of_rank(kShards, communicator.rank(), communicator.size());
  std::vector<float> norms;
  for (int step = 0; step < 10; ++step) {
    reducer->begin({0, kTotal});
    for (std::int64_t shard = own.first; shard < own.last; ++shard) {
      const Slice slice(kTotal, static_cast<int>(shard), kShards);
      testing_network::loss_of(network, samples, slice.first, slice.last, kTotal).backward();
      reducer->finish_shard();
    }
    reducer->finish();
    if (ShardedState* sharded = reducer->sharded()) {
      const at::Tensor norm = sharded->gradient_norm(all_of(*sharded));
      if (communicator.rank() == 0) norms.push_back(norm.item<float>());
      descend_sharded(*sharded, 0.1);
    } else {
      std::vector<at::Tensor> gradients;
      for (const NamedTensor& each : network.active) gradients.push_back(each.tensor.grad());
      norms.push_back(
          at::linalg_vector_norm(at::stack(at::_foreach_norm(gradients, 2)), 2).item<float>());
      network.descend(0.1);
    }
  }
  std::vector<at::Tensor> result;
  for (const NamedTensor& parameter : network.parameters) result.push_back(parameter.tensor);
  return {result, norms};
}

TEST(CanonicalSlices, HaveTheBitsOfOneProcess) {
  std::pair<std::vector<at::Tensor>, std::vector<float>> alone;
  run_ranks(1, [&](Communicator& one) { alone = train_canonically(one, Sharding::kNone); });
  for (int ranks = 1; ranks <= 8; ++ranks) {
    run_ranks(ranks, [&](Communicator& communicator) {
      const auto [found, norms] = train_canonically(communicator, Sharding::kGradients);
      for (std::size_t i = 0; i < found.size(); ++i) {
        EXPECT_EQ(contract::bits_of(found[i]), contract::bits_of(alone.first[i])) << i;
      }
      if (communicator.rank() == 0) {
        EXPECT_EQ(norms, alone.second);
      }
    });
  }
}

TEST(CanonicalSlices, NamesAFrozenParameterThatGetsAGradient) {
  EXPECT_THROW(
      run_ranks(2,
                [](Communicator& communicator) {
                  const Samples samples(4, at::kFloat);
                  SmallNetwork network(at::kFloat);
                  network.activate(2, 6);
                  const auto reducer =
                      make_canonical_reducer(communicator, network.active, network.frozen,
                                             {.shards = 2, .sharding = Sharding::kOptimizer});
                  if (communicator.rank() == 1)
                    network.parameters[1].tensor.set_requires_grad(true);
                  reducer->begin({2, 4});
                  const Slice slice(4, communicator.rank(), 2);
                  testing_network::loss_of(network, samples, slice.first, slice.last, 4).backward();
                  reducer->finish_shard();
                  reducer->finish();
                }),
      ReductionMismatch);
}

}  // namespace
}  // namespace thaw
