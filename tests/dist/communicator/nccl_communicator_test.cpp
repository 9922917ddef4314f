#include "dist/communicator/nccl/nccl_communicator.h"

#include <ATen/ops/full.h>
#include <ATen/ops/ones.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>

#include "core/base/error.h"
#include "core/parallel/one_rank.h"
#include "dist/communicator/in_process/in_process.h"
#include "tests/dist/communicator/communicator_contract.h"
#include "tests/dist/communicator/fake_gpu.h"

namespace thaw {
namespace {

using namespace std::chrono_literals;
using fake::World;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr NcclOptions kQuick{.deadline = 10s, .interval = 1ms};

void expect_nothing_forbidden(World& world) { EXPECT_THAT(world.complaints(), IsEmpty()); }

/// The calls on NCCL and streams but for those that only look.
std::vector<std::string> deeds(World& world, int rank) {
  std::vector<std::string> calls = world.log(rank);
  std::erase(calls, "state");
  return calls;
}

TEST(NcclCommunicator, KeepsTheContract) {
  for (const int ranks : {1, 2, 3}) {
    World world(ranks);
    run_ranks(ranks, [&](Communicator& host) {
      const auto communicator =
          make_nccl_communicator(host, fake::parts(world, host.rank()), kQuick);
      contract::collective_contract(*communicator);
      EXPECT_THROW(communicator->send(at::Tensor(), 0), RunError);
    });
    EXPECT_GT(world.count(0, "sum"), 0);
    EXPECT_EQ(world.count(0, "abort"), 0);
    expect_nothing_forbidden(world);
  }
}

TEST(NcclCommunicator, WaitsUntilAllHaveJoined) {
  World world(2);
  world.script(0).init_polls = 7;
  world.script(1).init_polls = 2;
  run_ranks(2, [&](Communicator& host) {
    const auto communicator = make_nccl_communicator(host, fake::parts(world, host.rank()), kQuick);
    EXPECT_GE(world.count(host.rank(), "state"), host.rank() == 0 ? 8 : 3);
    at::Tensor tensor = at::full({3}, 2.0);
    communicator->all_reduce(tensor);
    EXPECT_TRUE(tensor.equal(at::full({3}, 4.0)));
  });
  expect_nothing_forbidden(world);
}

// Order on the GPU: after the work that computes, then the sum, then what waits for it.
TEST(NcclCommunicator, OrdersSumsOnStreamsWithoutBlockingTheHost) {
  World world(1);
  const auto host = make_self_communicator();
  const auto communicator = make_nccl_communicator(*host, fake::parts(world, 0), kQuick);
  world.change([&] { world.held = true; });
  const auto first = communicator->start_all_reduce(at::ones({2}));
  const auto second = communicator->start_all_reduce(at::ones({2}));
  EXPECT_FALSE(first->poll());
  second->wait_on_stream();
  EXPECT_FALSE(second->poll());
  EXPECT_EQ(second->seconds(), 0);
  EXPECT_THAT(deeds(world, 0), ElementsAre("init", "follow", "record", "sum", "record", "follow",
                                           "record", "sum", "record", "hold"));
  world.change([&] { world.held = false; });
  first->wait();
  EXPECT_TRUE(second->poll());
  EXPECT_EQ(second->seconds(), 0.25);
}

// Nobody waits for them, nor asks what has become of them: they are parts of a graph.
TEST(NcclCommunicator, OrdersSumsThatAreRecordedAndNoMore) {
  World world(1);
  const auto host = make_self_communicator();
  const auto communicator = make_nccl_communicator(*host, fake::parts(world, 0), kQuick);
  world.change([&] { world.held = true; });
  {
    const fake::Recording recording;
    at::Tensor tensor = at::ones({2});
    communicator->all_reduce(tensor);
    const auto sum = communicator->start_all_reduce(tensor);
    sum->wait_on_stream();
    EXPECT_TRUE(sum->poll());
    EXPECT_EQ(sum->seconds(), 0);
  }
  EXPECT_THAT(deeds(world, 0), ElementsAre("init", "follow", "record", "sum", "record", "hold",
                                           "follow", "record", "sum", "record", "hold"));
  world.change([&] { world.held = false; });
}

// What NCCL calls "in progress" is not yet on the stream: an event recorded now would mark nothing.
TEST(NcclCommunicator, RecordsTheEndOnceTheSumIsQueued) {
  World world(1);
  const auto host = make_self_communicator();
  const auto communicator = make_nccl_communicator(*host, fake::parts(world, 0), kQuick);
  world.change([&] {
    world.held = true;
    world.script(0).call_polls = 3;
  });
  const auto pending = communicator->start_all_reduce(at::ones({2}));
  const std::vector<std::string> log = world.log(0);
  const auto sum = std::find(log.begin(), log.end(), "sum");
  const auto record = std::find(sum, log.end(), "record");
  EXPECT_GE(std::count(sum, record, "state"), 4);
  world.change([&] { world.held = false; });
  pending->wait();
}

TEST(NcclCommunicator, JoinsPartsAtTheirFirstTensor) {
  World world(3);
  run_ranks(3, [&](Communicator& host) {
    const auto communicator = make_nccl_communicator(host, fake::parts(world, host.rank()), kQuick);
    const auto part = communicator->split(host.rank() % 2);
    part->barrier();
    EXPECT_EQ(part->all_gather("x").size(), host.rank() == 1 ? 1U : 2U);
    EXPECT_EQ(world.count(host.rank(), "init"), 1);
    at::Tensor tensor = at::full({2}, host.rank() + 1.0);
    part->all_reduce(tensor);
    EXPECT_TRUE(tensor.equal(at::full({2}, host.rank() == 1 ? 2.0 : 4.0)));
    EXPECT_EQ(world.count(host.rank(), "init"), 2);
  });
  for (int rank = 0; rank < 3; ++rank) {
    EXPECT_EQ(world.count(rank, "destroy"), 2);
    EXPECT_EQ(world.count(rank, "abort"), 0);
  }
  expect_nothing_forbidden(world);
}

TEST(NcclCommunicator, EndsInOrder) {
  World world(1);
  world.script(0).finalize_polls = 3;
  const auto host = make_self_communicator();
  make_nccl_communicator(*host, fake::parts(world, 0), kQuick).reset();
  EXPECT_THAT(deeds(world, 0), ElementsAre("init", "finalize", "destroy"));
  expect_nothing_forbidden(world);
}

// The other ranks may be elsewhere: what is collective is left out.
TEST(NcclCommunicator, AbortsWhenAnErrorUnwinds) {
  World world(1);
  const auto host = make_self_communicator();
  EXPECT_THROW(
      {
        const auto communicator = make_nccl_communicator(*host, fake::parts(world, 0), kQuick);
        throw RunError("planted");
      },
      RunError);
  EXPECT_THAT(deeds(world, 0), ElementsAre("init", "abort"));
  expect_nothing_forbidden(world);
}

TEST(NcclCommunicator, AbortsWhereTheOrderlyEndTakesTooLong) {
  World world(1);
  world.script(0).finalize_polls = -1;
  const auto host = make_self_communicator();
  testing::internal::CaptureStderr();
  make_nccl_communicator(*host, fake::parts(world, 0), {.deadline = 30ms, .interval = 1ms}).reset();
  EXPECT_THAT(testing::internal::GetCapturedStderr(), HasSubstr("closing the communicator"));
  EXPECT_THAT(deeds(world, 0), ElementsAre("init", "finalize", "abort"));
  expect_nothing_forbidden(world);
}

TEST(NcclCommunicator, RefusesARootThatIsNone) {
  World world(1);
  const auto host = make_self_communicator();
  const auto communicator = make_nccl_communicator(*host, fake::parts(world, 0), kQuick);
  at::Tensor tensor = at::ones({2});
  EXPECT_THROW(communicator->broadcast(tensor, 1), RunError);
  EXPECT_EQ(world.count(0, "broadcast"), 0);
}

}  // namespace
}  // namespace thaw
