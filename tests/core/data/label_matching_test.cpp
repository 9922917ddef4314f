#include "core/data/label_matching.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace thaw {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

using Numbers = std::vector<std::int64_t>;

TEST(LabelMatching, FindsNamesWhereverTheyStand) {
  const Numbers places = places_among({"b", "x", "a"}, {"a", "b", "c"});
  EXPECT_THAT(places, ElementsAre(1, -1, 0));
  EXPECT_FALSE(are_the_same(places, 3));
  EXPECT_TRUE(are_the_same(Numbers{0, 1, 2}, 3));
  EXPECT_FALSE(are_the_same(Numbers{0, 1}, 3));
}

TEST(LabelMatching, GivesClassesTheirOtherNumbers) {
  const Labels labels(Numbers{0, 2, 0, 1});
  const Numbers places = {2, -1, 0};
  EXPECT_THAT(renumbered(labels, places, 5).classes(), ElementsAre(2, 0, 2, -1));
  EXPECT_THAT(unplaced(labels, places), ElementsAre(1));
  EXPECT_THAT(unplaced(Labels(Numbers{0, 2}), places), IsEmpty());  // in no sample
}

TEST(LabelMatching, MovesColumnsOfFlags) {
  const Labels labels(std::vector<std::uint8_t>{1, 0, 0, 0, 0, 1}, 3);
  const Numbers places = {3, -1, 0};
  const Labels moved = renumbered(labels, places, 4);
  EXPECT_EQ(moved.width(), 4);
  EXPECT_EQ(moved.size(), 2);
  EXPECT_THAT(moved.flags(), ElementsAre(0, 0, 0, 1, 1, 0, 0, 0));
  EXPECT_THAT(unplaced(labels, places), IsEmpty());  // nobody has that flag
  EXPECT_THAT(unplaced(Labels(std::vector<std::uint8_t>{0, 1, 0}, 3), places), ElementsAre(1));
}

TEST(LabelMatching, MovesColumnsOfNumbers) {
  const Labels labels(std::vector<float>{1.5F, 2.5F, 3.5F, 4.5F}, 2);
  EXPECT_THAT(renumbered(labels, Numbers{1, 0}, 2).values(), ElementsAre(2.5F, 1.5F, 4.5F, 3.5F));
  EXPECT_THAT(unplaced(labels, Numbers{0, -1}), ElementsAre(1));
}

}  // namespace
}  // namespace thaw
