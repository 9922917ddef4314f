#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "dist/reduction/bucket_reducer.h"
#include "tests/core/parallel/communicator_contract.h"
#include "tests/dist/mpi/mpi_world.h"
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
        for (NamedParameter& parameter : alone.parameters) parameter.tensor.mutable_grad().reset();
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

}  // namespace
}  // namespace thaw
