#include "dist/coordination/rank_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "core/base/error.h"
#include "tests/dist/coordination/rank_views.h"

namespace thaw {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAreArray;

Heartbeat beat(int rank, std::uint64_t number, double still = 0) {
  Heartbeat result;
  result.rank = rank;
  result.beat = number;
  result.still_seconds = still;
  return result;
}

TEST(Heartbeat, TravelsWhole) {
  Heartbeat sent = beat(2, 77, 1.25);
  sent.place = in_call(place(RankPhase::kCompute, 55), CollectiveKind::kSum, 4096);
  sent.place.bucket = 3;
  sent.place.stage = std::string(60, 's');
  sent.left = true;
  const auto received = decode_heartbeats(encode(std::vector<Heartbeat>{beat(0, 1), sent}), 3);
  ASSERT_EQ(received.size(), 2U);
  EXPECT_EQ(received[0].rank, 0);
  EXPECT_EQ(received[0].place.bucket, -1);
  const Heartbeat& same = received[1];
  EXPECT_EQ(same.rank, 2);
  EXPECT_EQ(same.beat, 77U);
  EXPECT_EQ(same.still_seconds, 1.25);
  EXPECT_TRUE(same.left);
  EXPECT_EQ(same.place.stage, std::string(39, 's'));
  EXPECT_EQ(same.place.step, 12);
  EXPECT_EQ(same.place.bucket, 3);
  EXPECT_EQ(same.place.order, 55U);
  EXPECT_TRUE(same.place.waits);
  EXPECT_EQ(same.place.phase, RankPhase::kCompute);
  EXPECT_EQ(same.place.call, CollectiveKind::kSum);
  EXPECT_EQ(same.place.call_bytes, 4096U);
}

TEST(Heartbeat, ForeignBytesAreRefused) {
  const std::string bytes = encode(std::vector<Heartbeat>{beat(2, 1)});
  EXPECT_THROW(decode_heartbeats(bytes, 2), RunError);  // no such rank
  EXPECT_THROW(decode_heartbeats(bytes.substr(1), 3), RunError);
  EXPECT_THROW(decode_heartbeats(std::string(bytes.size(), '\xff'), 3), RunError);
  EXPECT_THAT(decode_heartbeats("", 3), IsEmpty());
}

TEST(RankTable, MeasuresSilenceFromTheNewestNews) {
  RankTable table(0, 3, 10.0);
  EXPECT_EQ(table.views(12.0)[1].silent_seconds, 2.0) << "never heard: since the beginning";
  EXPECT_EQ(table.views(12.0)[0].silent_seconds, 0.0) << "of itself a rank knows all";

  EXPECT_TRUE(table.hear(beat(1, 5, 0.5), 11.0));
  EXPECT_FALSE(table.hear(beat(1, 4), 13.0)) << "older news, relayed by another rank";
  EXPECT_FALSE(table.hear(beat(1, 5), 13.0));
  EXPECT_EQ(table.views(13.0)[1].silent_seconds, 2.0);
  EXPECT_EQ(table.known().size(), 1U);
}

TEST(RankTable, OwnAbsenceIsNotTheOthersSilence) {
  RankTable table(0, 2, 0.0);
  table.hear(beat(1, 1), 1.0);
  table.absent(60.0);
  EXPECT_EQ(table.views(61.5)[1].silent_seconds, 0.5);
}

TEST(BeatTargets, AreTheNextTwoAlways) {
  EXPECT_THAT(beat_targets(0, 2, 7), ElementsAre(1));
  EXPECT_THAT(beat_targets(1, 2, 7), ElementsAre(0));
  EXPECT_THAT(beat_targets(2, 3, 7), ElementsAre(0, 1));
  EXPECT_THAT(beat_targets(3, 4, 7), ElementsAre(0, 1));
  for (std::uint64_t number = 0; number < 8; ++number) {
    EXPECT_THAT(beat_targets(9, 11, number), Contains(10));
    EXPECT_THAT(beat_targets(9, 11, number), Contains(0));
  }
}

TEST(BeatTargets, SourcesAndTargetsBelongTogether) {
  for (const int ranks : {2, 3, 4, 5, 8, 13, 64}) {
    for (int self = 0; self < ranks; ++self) {
      std::set<int> targets, sources;
      for (std::uint64_t number = 0; number < 16; ++number) {
        for (const int to : beat_targets(self, ranks, number)) targets.insert(to);
        for (int from = 0; from < ranks; ++from) {
          const std::vector<int> its = beat_targets(from, ranks, number);
          if (std::find(its.begin(), its.end(), self) != its.end()) sources.insert(from);
        }
      }
      EXPECT_FALSE(targets.contains(self));
      EXPECT_THAT(all_targets(self, ranks), UnorderedElementsAreArray(targets));
      EXPECT_THAT(all_sources(self, ranks), UnorderedElementsAreArray(sources));
    }
  }
}

TEST(BeatTargets, NewsReachAllRanksWithinAFewBeats) {
  const int ranks = 1000;
  std::set<int> know{17};
  std::uint64_t beats = 0;
  for (; know.size() < ranks && beats < 100; ++beats) {
    std::set<int> next = know;
    for (const int rank : know) {
      for (const int to : beat_targets(rank, ranks, beats)) next.insert(to);
    }
    know = next;
  }
  EXPECT_LE(beats, 16U);
}

}  // namespace
}  // namespace thaw
