#include "core/tasks/mistakes.h"

#include <gtest/gtest.h>

namespace thaw {
namespace {

TEST(MostFrequentMistakes, AreListedByHowOftenTheyAreMade) {
  const auto found = most_frequent_mistakes({{9, 1, 3}, {2, 5, 0}, {3, 0, 0}}, 3);
  ASSERT_EQ(found.size(), 3U);
  EXPECT_EQ(found[0].of, 0U);
  EXPECT_EQ(found[0].said, 2U);
  EXPECT_EQ(found[1].of, 2U);  // as often, in the order of classes
  EXPECT_EQ(found[2].of, 1U);
  EXPECT_EQ(found[2].samples, 2);
  EXPECT_TRUE(most_frequent_mistakes({{4}}, 3).empty());
}

}  // namespace
}  // namespace thaw
