#include <gtest/gtest.h>

#include <chrono>
#include <deque>
#include <string>
#include <thread>
#include <vector>

#include "dist/communicator/message_channel.h"
#include "tests/dist/mpi/mpi_world.h"

namespace thaw {
namespace {

/// The next message from whomever.
MessageChannel::Message take(MessageChannel& channel) {
  while (true) {
    if (auto message = channel.receive()) return std::move(*message);
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

/// Small messages, and some far above every eager limit, from each rank to the next, while the
/// other threads of all ranks are inside collectives.
TEST(MpiMessageChannel, DeliversBesideCollectives) {
  Communicator& world = mpi_world();
  const auto channel = make_mpi_message_channel();
  const int next = (world.rank() + 1) % world.size();
  const int previous = (world.rank() + world.size() - 1) % world.size();
  std::thread beside([&] {
    std::deque<MessageChannel::Message> arrived;
    const auto receive = [&] {
      while (auto message = channel->receive()) arrived.push_back(std::move(*message));
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    };
    for (const std::size_t length : {0UL, 1UL, 500UL, 3'000'000UL, 10UL}) {
      while (!channel->send(next, std::string(length, 'x'))) receive();
      while (arrived.empty()) receive();
      EXPECT_EQ(arrived.front().from, previous);
      EXPECT_EQ(arrived.front().bytes, std::string(length, 'x'));
      arrived.pop_front();
    }
  });
  std::vector<double> values(1000, 1.0);
  for (int i = 0; i < 50; ++i) world.all_reduce(values);
  beside.join();
  world.barrier();
  channel->close();
}

/// A rank that takes nothing blocks nobody: some message is refused instead.
TEST(MpiMessageChannel, NeverWaitsForWhoTakesNothing) {
  Communicator& world = mpi_world();
  const auto channel = make_mpi_message_channel();
  if (world.size() > 1 && world.rank() == 0) {
    const std::string large(1 << 20, 'x');
    EXPECT_TRUE(channel->send(1, large));
    EXPECT_FALSE(channel->send(1, large));
    EXPECT_FALSE(channel->send(1, "small"));
  }
  world.barrier();
  if (world.rank() == 1) {
    EXPECT_EQ(take(*channel).bytes.size(), 1U << 20);
  }
  world.barrier();
  channel->close();
}

TEST(MpiMessageChannel, CanBeLeftAsItIs) {
  Communicator& world = mpi_world();
  const auto channel = make_mpi_message_channel();
  EXPECT_TRUE(channel->send((world.rank() + 1) % world.size(), "never received"));
  world.barrier();
}

}  // namespace
}  // namespace thaw
