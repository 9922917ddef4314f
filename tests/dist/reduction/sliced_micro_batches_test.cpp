// Micro-batches before the last, where ranks share out the state.

#include <ATen/core/Tensor.h>
#include <c10/core/StorageImpl.h>
#include <c10/util/intrusive_ptr.h>
#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <map>

#include "core/parallel/sharded_state.h"
#include "dist/communicator/in_process/in_process.h"
#include "dist/reduction/sharding/sliced_reducer.h"
#include "tests/dist/reduction/sharded_steps.h"
#include "tests/dist/reduction/small_network.h"

namespace thaw {
namespace {

using testing_network::descend_sharded;
using testing_network::Samples;
using testing_network::SmallNetwork;

/// Note [Gradients that are gone]: of micro-batches the first leaves whole gradients, and no memory
/// of theirs outlives the step but what the next one begins with.
TEST(SlicedGradients, AreWholeWithinAStepOfMicroBatchesAlone) {
  run_ranks(2, [](Communicator& communicator) {
    constexpr std::size_t kSlabsKept = 2;
    const Samples samples(8, at::kDouble);
    SmallNetwork network;
    network.activate(0, 6);
    const auto reducer = make_sliced_reducer(
        communicator, network.active, network.frozen,
        {.buckets = {.cap_bytes = 64, .first_cap_bytes = 64}, .sharding = Sharding::kGradients});
    const std::int64_t first = 4 * communicator.rank();
    for (int step = 0; step < 3; ++step) {
      std::map<const c10::StorageImpl*, c10::weak_intrusive_ptr<c10::StorageImpl>> slabs;
      reducer->begin({4, 8});
      testing_network::loss_of(network, samples, first, first + 2, 8).backward();
      for (const NamedTensor& parameter : network.parameters) {
        const at::Tensor& grad = parameter.tensor.grad();
        EXPECT_TRUE(grad.defined()) << parameter.name;
        if (!grad.defined()) continue;
        EXPECT_EQ(grad.numel(), parameter.tensor.numel());
        slabs.emplace(grad.storage().unsafeGetStorageImpl(), grad.storage().getWeakStorageImpl());
      }
      EXPECT_GT(slabs.size(), 2 * kSlabsKept) << "or there is nothing to see";
      reducer->last_backward();
      testing_network::loss_of(network, samples, first + 2, first + 4, 8).backward();
      reducer->finish();
      for (const NamedTensor& parameter : network.parameters) {
        EXPECT_FALSE(parameter.tensor.grad().defined()) << parameter.name;
      }
      descend_sharded(*reducer->sharded(), 0.1);
      std::size_t held = 0;
      for (const auto& [_, slab] : slabs) held += slab.expired() ? 0 : 1;
      EXPECT_LE(held, kSlabsKept) << "step " << step;
    }
  });
}

}  // namespace
}  // namespace thaw
