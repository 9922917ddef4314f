#include "core/kernels/random/draw_scope.h"

#include <gtest/gtest.h>

#include <stdexcept>
#include <thread>
#include <vector>

namespace thaw {
namespace {

const std::vector<std::int64_t> kSamples = {7, 3};
const std::vector<std::int64_t> kOffsets = {0, 2, 5};

TEST(DrawScope, IsTheInnermostOfItsThread) {
  EXPECT_EQ(DrawScope::current(), nullptr);
  {
    const DrawScope outer({.samples = kSamples});
    EXPECT_EQ(DrawScope::current(), &outer);
    {
      const DrawScope inner({.samples = kSamples, .offsets = kOffsets});
      EXPECT_EQ(DrawScope::current(), &inner);
      std::thread([] { EXPECT_EQ(DrawScope::current(), nullptr); }).join();
    }
    EXPECT_EQ(DrawScope::current(), &outer);
  }
  EXPECT_EQ(DrawScope::current(), nullptr);
}

TEST(DrawScope, KeepsCopiesOfWhatTheSpansShowed) {
  std::vector<std::int64_t> samples = kSamples;
  DrawScope scope({.seed = 1, .epoch = 2, .samples = samples, .offsets = kOffsets});
  samples.assign(2, -1);
  EXPECT_EQ(scope.rows().samples[0], 7);
  EXPECT_EQ(scope.rows().offsets[2], 5);
  EXPECT_EQ(scope.draws(1, 0.5).rows->samples, kSamples);
}

TEST(DrawScope, GoesOnFromAState) {
  DrawScope scope({.seed = 5, .epoch = 6, .samples = kSamples, .offsets = kOffsets});
  scope.draws(1, 0.1);
  const DrawScope::State before = scope.state();
  const Philox::Key once = scope.draws(1, 0.1).key.key;
  const Philox::Key other = scope.draws(2, 0.1).key.key;
  {
    DrawScope again(before);
    EXPECT_EQ(DrawScope::current(), &again);
    EXPECT_EQ(again.draws(1, 0.1).key.key, once);
    EXPECT_EQ(again.draws(2, 0.1).key.key, other);
    EXPECT_EQ(again.rows().offsets[2], 5);
  }
  EXPECT_EQ(DrawScope::current(), &scope);
  EXPECT_NE(scope.draws(1, 0.1).key.key, once);
}

TEST(DrawScope, RepeatedUsesOfASiteDrawDifferentlyAndNewScopesAlike) {
  const auto keys = [](std::uint64_t seed, std::uint64_t epoch) {
    DrawScope scope({.seed = seed, .epoch = epoch, .samples = kSamples});
    return std::vector<Philox::Key>{scope.draws(1, 0.1).key.key, scope.draws(1, 0.1).key.key,
                                    scope.draws(2, 0.1).key.key};
  };
  const auto first = keys(5, 6);
  EXPECT_NE(first[0], first[1]);
  EXPECT_NE(first[0], first[2]);
  EXPECT_EQ(first, keys(5, 6));
  EXPECT_NE(first[0], keys(5, 7)[0]);
  EXPECT_NE(first[0], keys(6, 6)[0]);
  EXPECT_NE(first[0], keys(5 + (std::uint64_t{1} << 32), 6)[0]);
}

TEST(DrawScope, RefusesOffsetsThatDoNotFit) {
  const auto make = [](std::vector<std::int64_t> offsets) {
    const DrawScope scope({.samples = kSamples, .offsets = offsets});
  };
  EXPECT_THROW(make({0, 2}), std::invalid_argument);
  EXPECT_THROW(make({1, 2, 5}), std::invalid_argument);
  EXPECT_THROW(make({0, 3, 2}), std::invalid_argument);
  EXPECT_NO_THROW(make({0, 0, 2}));
}

TEST(DropoutKey, RoundsTheProbabilityAndScalesByTheExactInverse) {
  const DropoutKey tenth = dropout_key(0, 0, 0, 0, 0.1);
  EXPECT_EQ(tenth.threshold, 6554u);
  EXPECT_DOUBLE_EQ(tenth.scale * (65536 - 6554) / 65536.0, 1.0);
  const DropoutKey all = dropout_key(0, 0, 0, 0, 1.0);
  EXPECT_FALSE(all.keeps(0, 0, 0));
  EXPECT_EQ(all.scale, 0.0);
  EXPECT_THROW(dropout_key(0, 0, 0, 0, 1.5), std::invalid_argument);
  EXPECT_THROW(dropout_key(0, 0, 0, 0, -0.1), std::invalid_argument);
}

}  // namespace
}  // namespace thaw
