#include "dist/forecast/sum_seconds.h"

#include <gtest/gtest.h>

#include "tests/dist/forecast/forecast_costs.h"

namespace thaw {
namespace {

constexpr std::int64_t kMebi = 1 << 20;
constexpr double kTolerance = 1e-9;

/// A thousandth of a second from host to host.
Network far() {
  Network network = slow_network();
  network.between.latency = 1e-3;
  return network;
}

TEST(SumSeconds, OneRankHasNothingToSum) {
  EXPECT_EQ(sum_seconds(far(), 1, kMebi), 0);
  EXPECT_EQ(scatter_seconds(far(), 1, kMebi), 0);
  EXPECT_EQ(gather_seconds(far(), 1, kMebi), 0);
  EXPECT_EQ(tree_seconds(far(), 1, kMebi), 0);
  EXPECT_EQ(sent_bytes(far(), 1, kMebi), 0);
}

TEST(SumSeconds, SmallOnesAreExchangedWhole) {
  EXPECT_NEAR(sum_seconds(far(), 2, 1000), 1e-3 + 1e-3, kTolerance);
  EXPECT_NEAR(sum_seconds(far(), 4, 1000), 2 * (1e-3 + 1e-3), kTolerance);
  // The third rank's part goes to a neighbour first, and the sum comes back.
  EXPECT_NEAR(sum_seconds(far(), 3, 1000), 3 * (1e-3 + 1e-3), kTolerance);
}

TEST(SumSeconds, MiddlingOnesOfTwoRanksGoAround) {
  EXPECT_NEAR(sum_seconds(far(), 2, 100'000), 2 * (1e-3 + 0.05), kTolerance);
}

// A message above 64 KiB is asked for first: three latencies.
TEST(SumSeconds, LargeOnesAreHalvedAndDoubled) {
  EXPECT_NEAR(sum_seconds(far(), 2, kMebi), 2 * (3e-3 + 0.524288), kTolerance);
  EXPECT_NEAR(sum_seconds(far(), 4, kMebi), 4 * 3e-3 + 1.5 * 1.048576, kTolerance);
  EXPECT_NEAR(sum_seconds(far(), 8, kMebi), 6 * 3e-3 + 1.75 * 1.048576, kTolerance);
}

TEST(SumSeconds, ANumberOfRanksThatIsNoPowerOfTwoCostsMore) {
  EXPECT_NEAR(sum_seconds(far(), 3, kMebi), 5 * 3e-3 + 3 * 1.048576, kTolerance);
}

TEST(SumSeconds, GoInPiecesOfFourMebibytes) {
  const double piece = 2 * (3e-3 + 2.097152);
  EXPECT_NEAR(sum_seconds(far(), 2, 4 * kMebi), piece, kTolerance);
  EXPECT_NEAR(sum_seconds(far(), 2, 9 * kMebi), 2 * piece + sum_seconds(far(), 2, kMebi),
              kTolerance);
}

TEST(SumSeconds, OfBothWaysAtOnceMayBeSlower) {
  Network network = far();
  network.both_ways = 5e5;
  EXPECT_NEAR(sum_seconds(network, 2, kMebi), 2 * (3e-3 + 1.048576), kTolerance);
  // Three of five rounds are exchanges, of half the bytes each; two go one way, half and whole.
  EXPECT_NEAR(sum_seconds(network, 3, kMebi), 5 * 3e-3 + 3 * 1.048576 + 1.5 * 1.048576, kTolerance);
}

TEST(SumSeconds, ABurstPassesAfterARest) {
  Network network = far();
  network.burst = 100'000;
  const double without = sum_seconds(far(), 2, kMebi);
  EXPECT_NEAR(sum_seconds(network, 2, kMebi), without - 0.1, kTolerance);
  EXPECT_NEAR(sum_seconds(network, 2, kMebi, 0), without, kTolerance);
  EXPECT_NEAR(sum_seconds(network, 2, kMebi, 0.01), without - 0.01, kTolerance);
  // Of three, the first two rest while the surplus rank hands its part over.
  EXPECT_NEAR(sum_seconds(network, 3, kMebi), sum_seconds(far(), 3, kMebi) - 0.2, kTolerance);
  EXPECT_NEAR(sum_seconds(network, 2, 1000), 1e-3, kTolerance);
}

TEST(SumSeconds, RanksOfAHostShareItsLink) {
  Network network = far();
  network.ranks_a_host = 2;
  const double inside = 2 * 524288 / 1e9;
  EXPECT_NEAR(sum_seconds(network, 4, kMebi), inside + 2 * (3e-3 + 262144 / 5e5), kTolerance);
  network.rank_bandwidth = 1e5;
  EXPECT_NEAR(sum_seconds(network, 4, kMebi), inside + 2 * (3e-3 + 262144 / 1e5), kTolerance);
  EXPECT_NEAR(sum_seconds(network, 2, kMebi), 2 * 524288 / 1e9, kTolerance);
}

TEST(SumSeconds, AddingAndStartingTakeTime) {
  Network network = far();
  network.sum_bandwidth = 1e6;
  network.call_seconds = 0.25;
  EXPECT_NEAR(sum_seconds(network, 2, kMebi), 0.25 + 2 * (3e-3 + 0.524288) + 0.524288, kTolerance);
}

TEST(SumSeconds, NcclTakesTheFasterOfRingAndTree) {
  Network network;
  network.library = SumLibrary::kNccl;
  network.ranks_a_host = 8;
  network.inside = {1e-6, 1e9};
  network.between = {1e-3, 1e9};
  EXPECT_NEAR(sum_seconds(network, 8, 8'000'000), 2 * (7e-6 + 0.007), kTolerance);
  // Eight hosts, next to nothing to send: a tree is three hops deep where a ring has seven.
  network.ranks_a_host = 1;
  EXPECT_NEAR(sum_seconds(network, 8, 8), 2 * 3e-3 + 2 * 8 / 0.92e9, kTolerance);
  // Two hosts of four: the ring crosses twice, at the speed of the slower link.
  network.ranks_a_host = 4;
  network.between = {1e-4, 5e8};
  EXPECT_NEAR(sum_seconds(network, 8, 80'000'000), 2 * (5e-6 + 2e-4 + 0.07 / 0.5), kTolerance);
}

TEST(SumSeconds, SlicesTravelOnce) {
  EXPECT_NEAR(scatter_seconds(far(), 2, 2 * kMebi), 3e-3 + 1.048576, kTolerance);
  EXPECT_NEAR(gather_seconds(far(), 2, 2 * kMebi), 3e-3 + 1.048576, kTolerance);
  EXPECT_NEAR(gather_seconds(far(), 4, 2 * kMebi), 3e-3 + 0.75 * 2.097152, kTolerance);
}

TEST(SumSeconds, CanonicalOnesGoUpATreeAndDown) {
  EXPECT_NEAR(tree_seconds(far(), 4, kMebi), 4 * (3e-3 + 1.048576), kTolerance);
}

TEST(SumSeconds, SentBytesAreTheBusiestRanks) {
  EXPECT_NEAR(sent_bytes(far(), 2, 1000), 1000, kTolerance);
  EXPECT_NEAR(sent_bytes(far(), 4, 1000), 1500, kTolerance);
  EXPECT_NEAR(sent_bytes(far(), 3, 1000), 2500, kTolerance);
}

}  // namespace
}  // namespace thaw
