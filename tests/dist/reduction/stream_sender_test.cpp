#include <ATen/ops/full.h>
#include <ATen/ops/ones.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>

#include "core/base/error.h"
#include "core/parallel/one_rank.h"
#include "dist/communicator/in_process/in_process.h"
#include "dist/communicator/nccl/nccl_communicator.h"
#include "dist/reduction/sending/bucket_sender.h"
#include "tests/dist/communicator/fake_gpu.h"

namespace thaw {
namespace {

using namespace std::chrono_literals;
using fake::World;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr NcclOptions kQuick{.deadline = 10s, .interval = 1ms};

TEST(StreamSender, SumsOverTheRanks) {
  World world(3);
  run_ranks(3, [&](Communicator& host) {
    const auto communicator = make_nccl_communicator(host, fake::parts(world, host.rank()), kQuick);
    const auto sender = make_stream_sender(*communicator, at::kCPU);
    for (int step = 0; step < 5; ++step) {
      const at::Tensor first = at::full({7}, 1.0 + host.rank());
      const at::Tensor second = at::full({3}, 2.0 * host.rank(), at::kDouble);
      sender->send({first});
      sender->send({second});
      sender->drain();
      host.barrier();  // the fake GPUs are through when all ranks have queued their sums
      EXPECT_TRUE(first.equal(at::full({7}, 6.0)));
      EXPECT_TRUE(second.equal(at::full({3}, 6.0, at::kDouble)));
    }
  });
  EXPECT_THAT(world.complaints(), IsEmpty());
}

TEST(StreamSender, RoundsWhatTravels) {
  World world(2);
  run_ranks(2, [&](Communicator& host) {
    const auto communicator = make_nccl_communicator(host, fake::parts(world, host.rank()), kQuick);
    const auto sender = make_stream_sender(*communicator, at::kCPU, at::kBFloat16);
    const at::Tensor slab = at::full({3}, 1.001);  // 1 in bfloat16
    sender->send({slab});
    host.barrier();  // the fake GPUs are through when all ranks have queued their sums
    sender->drain();
    EXPECT_EQ(slab.scalar_type(), at::kFloat);
    EXPECT_TRUE(slab.equal(at::full({3}, 2.0)));
  });
}

// Each sum is queued behind what backward has queued; drain makes the current stream wait for all.
TEST(StreamSender, NeverBlocksTheHost) {
  World world(1);
  const auto host = make_self_communicator();
  const auto communicator = make_nccl_communicator(*host, fake::parts(world, 0), kQuick);
  const auto sender = make_stream_sender(*communicator, at::kCPU);
  const auto before = static_cast<std::ptrdiff_t>(world.log(0).size());
  world.change([&] { world.held = true; });
  sender->send({at::ones({4})});
  sender->send({at::ones({4})});
  sender->drain();
  std::vector<std::string> calls = world.log(0);
  calls.erase(calls.begin(), calls.begin() + before);
  std::erase(calls, "state");  // of the watch
  EXPECT_THAT(calls, ElementsAre("follow", "record", "sum", "record", "follow", "record", "sum",
                                 "record", "hold", "hold"));
  EXPECT_EQ(sender->busy_seconds(), 0);

  world.change([&] { world.held = false; });
  sender->send({at::ones({4})});
  EXPECT_EQ(sender->busy_seconds(), 0.5);  // of the two sums before
  sender->drain();
}

TEST(StreamSender, ThrowsWhatAnEarlierSumFailedWith) {
  World world(1);
  const auto host = make_self_communicator();
  const auto communicator = make_nccl_communicator(*host, fake::parts(world, 0), kQuick);
  const auto sender = make_stream_sender(*communicator, at::kCPU);
  world.change([&] { world.held = true; });
  sender->send({at::ones({4})});
  sender->drain();
  world.change([&] { world.script(0).error = NcclStatus::kRemoteError; });
  EXPECT_TRUE(fake::eventually([&] { return world.count(0, "abort") == 1; }));
  EXPECT_THROW(sender->send({at::ones({4})}), RunError);
  EXPECT_THAT(world.complaints(), IsEmpty());
}

}  // namespace
}  // namespace thaw
