#include "core/kernels/random/philox.h"

#include <gtest/gtest.h>

#include <bit>

namespace thaw {
namespace {

// Known answers for philox4x32 with 10 rounds from kat_vectors of Random123, the authors' library.
TEST(Philox, GivesTheKnownAnswers) {
  EXPECT_EQ(Philox::draw({0, 0, 0, 0}, {0, 0}),
            (Philox::Counter{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(
      Philox::draw({0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}, {0xffffffff, 0xffffffff}),
      (Philox::Counter{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(
      Philox::draw({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}),
      (Philox::Counter{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(Philox, OneBitOfTheCounterChangesHalfOfTheResult) {
  int flipped = 0;
  for (int bit = 0; bit < 128; ++bit) {
    Philox::Counter counter{1, 2, 3, 4};
    const Philox::Counter before = Philox::draw(counter, {5, 6});
    counter[static_cast<std::size_t>(bit / 32)] ^= 1u << (bit % 32);
    const Philox::Counter after = Philox::draw(counter, {5, 6});
    for (std::size_t word = 0; word < 4; ++word) {
      flipped += std::popcount(before[word] ^ after[word]);
    }
  }
  EXPECT_NEAR(flipped / (128.0 * 128.0), 0.5, 0.01);
}

}  // namespace
}  // namespace thaw
