#include "core/checkpoint/snapshot.h"

#include <ATen/ops/equal.h>
#include <ATen/ops/full.h>
#include <gtest/gtest.h>

#include <cstdint>

namespace thaw {
namespace {

constexpr std::int64_t kGiB = std::int64_t{1} << 30;

TEST(RoomForCopies, IsWhatTheLargestStepLeaves) {
  EXPECT_EQ(room_for_copies(80 * kGiB, 16 * kGiB), 62 * kGiB);
  EXPECT_EQ(room_for_copies(80 * kGiB, 64 * kGiB), 8 * kGiB);
  EXPECT_EQ(room_for_copies(80 * kGiB, 72 * kGiB), 0) << "a larger step would not fit beside them";
  EXPECT_EQ(room_for_copies(80 * kGiB, 80 * kGiB), 0);
  EXPECT_EQ(room_for_copies(0, 0), 0);
}

TEST(RoomForCopies, IsTakenOnceByWhatFits) {
  std::int64_t room = 100;
  EXPECT_TRUE(take_room(room, 60));
  EXPECT_FALSE(take_room(room, 41));
  EXPECT_TRUE(take_room(room, 40)) << "what did not fit has taken none";
  EXPECT_FALSE(take_room(room, 1));
  EXPECT_EQ(room, 0);
}

TEST(Snapshot, OfTheHostIsTakenAtOnceWhateverRoomAGpuHas) {
  at::Tensor weight = at::full({3}, 2.0);
  const NamedTensor named{"w", weight};
  for (const std::int64_t room : {std::int64_t{0}, kGiB}) {
    Snapshot snapshot;
    snapshot.take({&named, 1}, {}, room);
    weight.fill_(5.0);
    snapshot.settle();
    ASSERT_EQ(snapshot.items().size(), 1U);
    EXPECT_TRUE(at::equal(snapshot.items().front().tensor, at::full({3}, 2.0)));
    weight.fill_(2.0);
  }
}

}  // namespace
}  // namespace thaw
