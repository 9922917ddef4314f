#include "dist/communicator/message_channel.h"

#include <gtest/gtest.h>

namespace thaw {
namespace {

TEST(InProcessChannel, DeliversInOrderToTheRightRank) {
  const auto channels = make_in_process_channels(3);
  EXPECT_EQ(channels[2]->rank(), 2);
  EXPECT_EQ(channels[2]->size(), 3);
  EXPECT_FALSE(channels[0]->receive());
  EXPECT_TRUE(channels[1]->send(0, "first"));
  EXPECT_TRUE(channels[1]->send(0, ""));
  EXPECT_FALSE(channels[2]->receive());
  const auto message = channels[0]->receive();
  ASSERT_TRUE(message);
  EXPECT_EQ(message->from, 1);
  EXPECT_EQ(message->bytes, "first");
  EXPECT_EQ(channels[0]->receive()->bytes, "");
  EXPECT_FALSE(channels[0]->receive());
}

}  // namespace
}  // namespace thaw
