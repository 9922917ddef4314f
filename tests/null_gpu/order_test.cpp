#include "tests/null_gpu/order.h"

#include <gmock/gmock.h>

namespace null_gpu {
namespace {

using testing::HasSubstr;
using testing::Optional;

constexpr Range kBuffer{1000, 2000};
constexpr Range kInside{1500, 1501};

class OrderTest : public testing::Test {
 protected:
  std::optional<std::string> uses(Actor stream, Range range, Use how, int thread = 0) {
    order_.submit(stream);
    return order_.use(stream, range, how, how == Use::kWrite ? "writer" : "reader", thread);
  }

  Order order_;
  const Actor first_ = order_.add_actor();
  const Actor second_ = order_.add_actor();
};

TEST_F(OrderTest, OneStreamIsInOrder) {
  EXPECT_EQ(uses(first_, kBuffer, Use::kWrite), std::nullopt);
  EXPECT_EQ(uses(first_, kBuffer, Use::kRead), std::nullopt);
  EXPECT_EQ(uses(first_, kInside, Use::kUnknown), std::nullopt);
  EXPECT_EQ(uses(first_, kBuffer, Use::kWrite), std::nullopt);
}

TEST_F(OrderTest, AnotherStreamMustWait) {
  uses(first_, kBuffer, Use::kWrite);
  EXPECT_THAT(uses(second_, kBuffer, Use::kRead),
              Optional(HasSubstr("reader on stream 2 does not")));
}

TEST_F(OrderTest, WhatWaitsIsInOrder) {
  uses(first_, kBuffer, Use::kWrite);
  order_.wait(second_, order_.clock_of(first_));
  EXPECT_EQ(uses(second_, kBuffer, Use::kRead), std::nullopt);
}

TEST_F(OrderTest, AnEventFromBeforeIsNotEnough) {
  const Clock early = order_.clock_of(first_);
  uses(first_, kBuffer, Use::kWrite);
  order_.wait(second_, early);
  EXPECT_NE(uses(second_, kBuffer, Use::kRead), std::nullopt);
}

TEST_F(OrderTest, OrderGoesThroughOtherStreamsAndTheHost) {
  const Actor third = order_.add_actor();
  uses(first_, kBuffer, Use::kWrite);
  order_.wait(second_, order_.clock_of(first_));
  order_.wait(third, order_.clock_of(second_));
  EXPECT_EQ(uses(third, kBuffer, Use::kWrite), std::nullopt);
  const Actor fourth = order_.add_actor();
  order_.host_knows(order_.clock_of(third));
  EXPECT_EQ(uses(fourth, kBuffer, Use::kWrite), std::nullopt);
}

TEST_F(OrderTest, ReadsMayMeet) {
  uses(first_, kBuffer, Use::kRead);
  EXPECT_EQ(uses(second_, kBuffer, Use::kRead), std::nullopt);
  EXPECT_NE(uses(second_, kInside, Use::kWrite), std::nullopt);
}

TEST_F(OrderTest, AKernelConflictsWithAWrite) {
  uses(first_, kInside, Use::kUnknown);
  EXPECT_NE(uses(second_, kBuffer, Use::kWrite), std::nullopt);
  EXPECT_NE(uses(first_, kInside, Use::kUnknown), std::nullopt);
}

TEST_F(OrderTest, AReadFetchesWhatItsThreadsKernelHasMade) {
  uses(first_, kInside, Use::kUnknown, 1);
  EXPECT_EQ(uses(second_, kBuffer, Use::kRead, 2), std::nullopt);
  EXPECT_NE(uses(second_, kBuffer, Use::kRead, 1), std::nullopt);
}

TEST_F(OrderTest, OtherMemoryDoesNotMatter) {
  uses(first_, kBuffer, Use::kWrite);
  EXPECT_EQ(uses(second_, {2000, 3000}, Use::kWrite), std::nullopt);
  EXPECT_EQ(uses(second_, {0, 1000}, Use::kWrite), std::nullopt);
  EXPECT_EQ(uses(second_, {0, 5}, Use::kUnknown), std::nullopt);
}

TEST_F(OrderTest, AShortUseDoesNotHideALongOne) {
  uses(first_, kBuffer, Use::kWrite);
  uses(first_, {1000, 1001}, Use::kWrite);
  EXPECT_NE(uses(second_, kInside, Use::kRead), std::nullopt);
}

TEST_F(OrderTest, MemoryThatHasGoneIsForgotten) {
  uses(first_, kBuffer, Use::kWrite);
  EXPECT_THAT(order_.in_use(kBuffer), Optional(HasSubstr("writer")));
  order_.forget(kBuffer);
  EXPECT_EQ(order_.in_use(kBuffer), std::nullopt);
  EXPECT_EQ(uses(second_, kBuffer, Use::kWrite), std::nullopt);
}

TEST_F(OrderTest, TheHostKnowsWhatItHasWaitedFor) {
  uses(first_, kBuffer, Use::kRead);
  order_.host_knows(order_.clock_of(first_));
  EXPECT_EQ(order_.in_use(kBuffer), std::nullopt);
}

}  // namespace
}  // namespace null_gpu
