#include "core/data/order/keyed_permutation.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <set>
#include <stdexcept>
#include <vector>

#include "core/data/order/keyed_hash.h"

namespace thaw {
namespace {

TEST(KeyedPermutation, IsAPermutationOfAnySize) {
  for (std::uint64_t size = 0; size <= 300; ++size) {
    const KeyedPermutation permutation(size, 42);
    std::set<std::uint64_t> seen;
    for (std::uint64_t i = 0; i < size; ++i) {
      EXPECT_LT(permutation(i), size);
      seen.insert(permutation(i));
    }
    EXPECT_EQ(seen.size(), size);
  }
  for (const std::uint64_t size : {65536, 65537, 117659}) {
    const KeyedPermutation permutation(size, 7);
    std::vector<bool> seen(size, false);
    for (std::uint64_t i = 0; i < size; ++i) seen[permutation(i)] = true;
    for (const bool one : seen) ASSERT_TRUE(one);
  }
}

TEST(KeyedPermutation, HoldsLargeSizes) {
  const std::uint64_t size = (std::uint64_t{1} << 62) + 12345;
  const KeyedPermutation permutation(size, 3);
  std::set<std::uint64_t> seen;
  for (std::uint64_t i = 0; i < 1000; ++i) seen.insert(permutation(size - 1 - i));
  EXPECT_EQ(seen.size(), 1000U);
  EXPECT_LT(*seen.rbegin(), size);
  EXPECT_THROW(permutation(size), std::out_of_range);
}

/// Pearson's statistic of how often each order of `size` occurs over `keys` keys.
double chi_square_of_orders(std::uint64_t size, int keys, int orders) {
  std::map<std::vector<std::uint64_t>, int> counts;
  for (int key = 0; key < keys; ++key) {
    const KeyedPermutation permutation(size, keyed_hash(9, key));
    std::vector<std::uint64_t> order;
    for (std::uint64_t i = 0; i < size; ++i) order.push_back(permutation(i));
    ++counts[order];
  }
  const double expected = static_cast<double>(keys) / orders;
  double sum = (orders - static_cast<double>(counts.size())) * expected;
  for (const auto& [order, count] : counts) sum += std::pow(count - expected, 2) / expected;
  return sum;
}

/// 99.9 % of a chi-square distribution (Wilson and Hilferty's approximation).
double chi_square_limit(double freedom) {
  const double cube = 1 - 2 / (9 * freedom) + 3.09 * std::sqrt(2 / (9 * freedom));
  return freedom * cube * cube * cube;
}

TEST(KeyedPermutation, AllOrdersOfFewAreEquallyLikely) {
  EXPECT_LT(chi_square_of_orders(2, 20000, 2), chi_square_limit(1));
  EXPECT_LT(chi_square_of_orders(3, 20000, 6), chi_square_limit(5));
  EXPECT_LT(chi_square_of_orders(4, 20000, 24), chi_square_limit(23));
  EXPECT_LT(chi_square_of_orders(5, 60000, 120), chi_square_limit(119));
  EXPECT_LT(chi_square_of_orders(6, 60000, 720), chi_square_limit(719));
}

TEST(KeyedPermutation, PlacesAndNeighboursAreIndependentOfThePosition) {
  constexpr std::uint64_t kSize = 50;
  std::vector<double> places(kSize * kSize, 0);
  std::vector<double> distances(kSize, 0);
  constexpr int kKeys = 20000;
  for (int key = 0; key < kKeys; ++key) {
    const KeyedPermutation permutation(kSize, keyed_hash(11, key));
    for (std::uint64_t i = 0; i < kSize; ++i) {
      ++places[i * kSize + permutation(i)];
      ++distances[(permutation((i + 1) % kSize) + kSize - permutation(i)) % kSize];
    }
  }
  double of_places = 0;
  for (const double count : places)
    of_places += std::pow(count - kKeys / kSize, 2) / (kKeys / kSize);
  EXPECT_LT(of_places, chi_square_limit((kSize - 1) * (kSize - 1)));
  EXPECT_EQ(distances[0], 0);
  const double expected = static_cast<double>(kKeys) * kSize / (kSize - 1);
  double of_distances = 0;
  for (std::uint64_t d = 1; d < kSize; ++d) {
    of_distances += std::pow(distances[d] - expected, 2) / expected;
  }
  EXPECT_LT(of_distances, chi_square_limit(kSize - 2));
}

TEST(KeyedPermutation, EpochsAndSeedsHaveNothingInCommon) {
  constexpr std::uint64_t kSize = 10000;
  const KeyedPermutation first(kSize, keyed_hash(keyed_hash(0, 0), 0));
  for (const std::uint64_t key :
       {keyed_hash(keyed_hash(0, 0), 1), keyed_hash(keyed_hash(0, 1), 0)}) {
    const KeyedPermutation second(kSize, key);
    int equal = 0;
    for (std::uint64_t i = 0; i < kSize; ++i) equal += first(i) == second(i) ? 1 : 0;
    EXPECT_LT(equal, 8);  // one is expected
  }
}

}  // namespace
}  // namespace thaw
