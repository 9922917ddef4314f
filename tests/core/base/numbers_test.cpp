// Splits and medians.
#include "core/base/numbers.h"

#include <gtest/gtest.h>

#include <limits>

namespace thaw {
namespace {

using Piece = std::pair<std::int64_t, std::int64_t>;

TEST(BalancedSplit, LongerPiecesComeFirst) {
  EXPECT_EQ(balanced_split(10, 0, 3), (Piece{0, 4}));
  EXPECT_EQ(balanced_split(10, 1, 3), (Piece{4, 7}));
  EXPECT_EQ(balanced_split(10, 2, 3), (Piece{7, 10}));
  EXPECT_EQ(balanced_split(2, 1, 4), (Piece{1, 2}));
  EXPECT_EQ(balanced_split(2, 2, 4), (Piece{2, 2})) << "empty";
  EXPECT_EQ(balanced_split(0, 0, 1), (Piece{0, 0}));
}

TEST(BalancedSplit, CoversAllOnceInPiecesThatDifferByOne) {
  for (const std::int64_t total : {0, 1, 5, 37, 64, 1000}) {
    for (std::int64_t pieces = 1; pieces <= 9; ++pieces) {
      std::int64_t end = 0;
      for (std::int64_t i = 0; i < pieces; ++i) {
        const auto [first, last] = balanced_split(total, i, pieces);
        EXPECT_EQ(first, end);
        EXPECT_GE(last - first, total / pieces);
        EXPECT_LE(last - first, (total + pieces - 1) / pieces);
        end = last;
      }
      EXPECT_EQ(end, total);
    }
  }
}

TEST(BalancedSplit, DoesNotOverflow) {
  constexpr std::int64_t kMost = std::numeric_limits<std::int64_t>::max();
  EXPECT_EQ(balanced_split(kMost, 3, 4).second, kMost);
  EXPECT_EQ(balanced_split(kMost, 0, 1), (Piece{0, kMost}));
}

TEST(Median, IsTheMiddleOrTheMeanOfTheTwo) {
  EXPECT_EQ(median({}), 0);
  EXPECT_EQ(median({3}), 3);
  EXPECT_EQ(median({9, 1, 5}), 5);
  EXPECT_EQ(median({8, 2}), 5);
  EXPECT_EQ(median({4, 1, 3, 2}), 2.5);
  EXPECT_EQ(median({7, 7, 7, 1, 100}), 7);
  EXPECT_EQ(median({-1, -5, -3}), -3);
}

}  // namespace
}  // namespace thaw
