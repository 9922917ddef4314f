// The order of samples stays what it is: resumed runs of another version go on with it, and
// cluster/benchmarks computes it in Python (tests/cluster holds the same numbers).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

#include "core/data/order/keyed_hash.h"
#include "core/data/order/keyed_permutation.h"

namespace thaw {
namespace {

std::vector<std::uint64_t> first_of_epoch(std::uint64_t samples, std::uint64_t seed,
                                          std::uint64_t epoch, std::uint64_t count) {
  const KeyedPermutation permutation(samples, keyed_hash(keyed_hash(0, seed), epoch));
  std::vector<std::uint64_t> first;
  for (std::uint64_t i = 0; i < count; ++i) first.push_back(permutation(i));
  return first;
}

TEST(PinnedOrder, IsTheSameInEveryVersion) {
  using testing::ElementsAre;
  EXPECT_THAT(first_of_epoch(10, 7, 1, 10), ElementsAre(4, 9, 2, 1, 7, 0, 8, 6, 3, 5));
  EXPECT_THAT(first_of_epoch(33, 5, 3, 8), ElementsAre(29, 12, 25, 6, 21, 23, 32, 7));
  EXPECT_THAT(first_of_epoch(10003, 1, 2, 6), ElementsAre(5938, 6190, 8009, 8763, 4607, 3946));
}

}  // namespace
}  // namespace thaw
