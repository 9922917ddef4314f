#include "core/parallel/slices.h"

#include <ATen/ops/arange.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/base/error.h"

namespace thaw {
namespace {

using ::testing::ElementsAre;

TEST(Slices, MovesAreWhatChangesHands) {
  EXPECT_TRUE(moves_between({0, 4, 10}, {0, 4, 10}).empty());
  EXPECT_THAT(moves_between({0, 4, 10}, {0, 7, 10}), ElementsAre(SliceMove{1, 0, 4, 7}));
  EXPECT_THAT(moves_between({0, 6, 6, 9}, {0, 2, 8, 9}),
              ElementsAre(SliceMove{0, 1, 2, 6}, SliceMove{2, 1, 6, 8}));
}

TEST(Slices, EvenCutsAreWholeUnits) {
  EXPECT_THAT(even_cuts(10, 3, 1), ElementsAre(0, 4, 7, 10));
  EXPECT_THAT(even_cuts(10, 3, 4), ElementsAre(0, 4, 8, 10));
  EXPECT_THAT(even_cuts(3, 4, 64), ElementsAre(0, 3, 3, 3, 3));
  EXPECT_THAT(even_cuts(0, 2, 64), ElementsAre(0, 0, 0));
}

TEST(Slices, CutsThatDoNotCutAreRefused) {
  EXPECT_NO_THROW(check_cuts(Cuts{0, 2, 2, 5}, 5, 3, "here"));
  for (const Cuts& cuts : {Cuts{0, 5}, Cuts{0, 3, 2, 5}, Cuts{0, 1, 2, 4}, Cuts{1, 2, 3, 5}}) {
    EXPECT_THROW(check_cuts(cuts, 5, 3, "here"), RunError);
  }
}

TEST(Slices, FlatIsTheMemoryWhateverTheLayout) {
  const at::Tensor image =
      at::arange(24, at::kFloat).reshape({1, 2, 3, 4}).contiguous(at::MemoryFormat::ChannelsLast);
  const at::Tensor part = flat(image, 1, 3);
  EXPECT_EQ(part.numel(), 2);
  EXPECT_EQ(part[0].item<float>(), 12);  // the second channel of the first place
  part.fill_(-1);
  EXPECT_EQ(image[0][1][0][0].item<float>(), -1);
}

}  // namespace
}  // namespace thaw
