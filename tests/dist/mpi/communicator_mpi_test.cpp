#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "core/parallel/agreement.h"
#include "dist/communicator/host_topology.h"
#include "dist/communicator/mpi/mpi_communicator.h"
#include "tests/dist/communicator/communicator_contract.h"
#include "tests/dist/mpi/mpi_world.h"

namespace thaw {
namespace {

using ::testing::HasSubstr;

TEST(MpiCommunicator, KeepsTheContract) { contract::whole_contract(mpi_world()); }

TEST(MpiCommunicator, SumsMoreThanOnePieceExactly) {
  at::Tensor tensor = at::arange(2'500'000, at::kLong);
  mpi_world().all_reduce(tensor);
  EXPECT_TRUE(tensor.equal(at::arange(2'500'000, at::kLong).mul(mpi_world().size())));
}

TEST(MpiCommunicator, BroadcastsMoreThanOnePiece) {
  at::Tensor tensor = at::empty({(std::int64_t{9} << 20) + 1}, at::kLong);  // 72 MiB and a bit
  if (mpi_world().rank() == 0) tensor.fill_(7);
  mpi_world().broadcast(tensor, 0);
  EXPECT_TRUE(tensor.eq(7).all().item<bool>());
}

// Rounds each addition to nearest even: 256 + 1 is 256 in bfloat16, 256 + 3 is 260.
TEST(MpiCommunicator, RoundsBfloat16SumsToNearestEven) {
  for (const auto& [addend, expected] : {std::pair{1.0, 256.0}, std::pair{3.0, 260.0}}) {
    const bool is_first = mpi_world().rank() == 0;
    const bool is_second = mpi_world().rank() == 1;
    at::Tensor tensor = at::full({5}, is_first ? 256.0 : is_second ? addend : 0.0, at::kBFloat16);
    mpi_world().all_reduce(tensor);
    const double sum = mpi_world().size() == 1 ? 256.0 : expected;
    EXPECT_TRUE(tensor.equal(at::full({5}, sum, at::kBFloat16)));
  }
}

TEST(MpiCommunicator, ServesTwoThreadsThroughSplits) {
  const auto other = mpi_world().split(0);
  std::thread beside([&] {
    for (int i = 0; i < 200; ++i) {
      at::Tensor tensor = at::full({1000}, 2.0, at::kFloat);
      other->all_reduce(tensor);
      EXPECT_EQ(tensor[999].item<float>(), 2.0F * static_cast<float>(other->size()));
    }
  });
  for (int i = 0; i < 200; ++i) {
    at::Tensor tensor = at::full({1000}, 3.0, at::kFloat);
    mpi_world().all_reduce(tensor);
    EXPECT_EQ(tensor[0].item<float>(), 3.0F * static_cast<float>(mpi_world().size()));
  }
  beside.join();
}

TEST(MpiCommunicator, StartedSumsNeedAllRanksButDoNotBlock) {
  const auto communicator = mpi_world().split(0);
  const auto others = mpi_world().split(0);
  // The others begin when rank 0 has begun and looked: a sum that blocks would never end.
  if (communicator->rank() != 0) others->barrier();
  const auto pending = communicator->start_all_reduce(at::full({10}, 1.0, at::kFloat));
  if (communicator->rank() == 0) {
    if (communicator->size() > 1) {
      EXPECT_FALSE(pending->poll());
    }
    others->barrier();
  }
  EXPECT_THROW(communicator->start_all_reduce(at::full({10}, 1.0, at::kFloat)), RunError);
  pending->wait();
}

TEST(MpiCommunicator, TurnsMpiErrorsIntoRunErrorsWithItsText) {
  at::Tensor tensor = at::full({10}, 1.0, at::kFloat);
  try {
    mpi_world().broadcast(tensor, mpi_world().size() + 3);
    FAIL() << "no error";
  } catch (const RunError& error) {
    EXPECT_THAT(error.what(), HasSubstr("MPI_Bcast failed: MPI_ERR_ROOT"));
  }
  EXPECT_THROW(mpi_world().split(-1), RunError);
}

TEST(HostTopology, CountsRanksOfThisHost) {
  const HostTopology topology = discover_topology(mpi_world());
  EXPECT_EQ(topology.hosts.size(), static_cast<std::size_t>(mpi_world().size()));
  EXPECT_EQ(topology.local_rank, mpi_world().rank());
  EXPECT_EQ(topology.local_size, mpi_world().size());
  EXPECT_FALSE(topology.cores.empty());
  EXPECT_GE(topology.threads, 1);
  EXPECT_LE(topology.threads, static_cast<int>(topology.cores.size()));
}

TEST(Agreement, ReachesAllProcesses) {
  const int last = mpi_world().size() - 1;
  try {
    agreed(mpi_world(), [&] {
      if (mpi_world().rank() == last) throw InputError("planted");
    });
    FAIL() << "no error";
  } catch (const InputError& error) {
    EXPECT_THAT(error.what(), HasSubstr("planted"));
    EXPECT_TRUE(error.agreed());
  }
}

}  // namespace
}  // namespace thaw
