#include "dist/coordination/hang_detector.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/dist/coordination/rank_views.h"

namespace thaw {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using Kind = Verdict::Kind;

constexpr Deadlines kDeadlines{.hang = 10, .transition = 100};

const RankPlace kData = place(RankPhase::kData);
const RankPlace kCompute = place(RankPhase::kCompute);
const RankPlace kReduction = place(RankPhase::kReduction, 101);

TEST(HangDetector, ThatEverybodyWorksOrWaitsALittleIsFine) {
  const std::vector<RankView> ranks{view(0, kCompute, 2), view(1, kReduction, 2, 0.3)};
  const Verdict verdict = judge(ranks, 0, kDeadlines);
  EXPECT_EQ(verdict.kind, Kind::kFine);
  EXPECT_THAT(verdict.slow, IsEmpty());
}

TEST(HangDetector, AStoppedRankIsNamedByEachOfTheOthers) {
  for (const int stopped : {0, 1, 2}) {
    for (const int self : {0, 1, 2}) {
      if (self == stopped) continue;
      std::vector<RankView> ranks;
      for (int rank = 0; rank < 3; ++rank) {
        ranks.push_back(rank == stopped ? view(rank, kCompute, 0.1, 10.1)
                                        : view(rank, kReduction, 9.8, rank == self ? 0 : 0.2));
      }
      const Verdict verdict = judge(ranks, self, kDeadlines);
      EXPECT_EQ(verdict.kind, Kind::kSilent);
      EXPECT_THAT(verdict.ranks, ElementsAre(stopped));
      EXPECT_EQ(verdict.deadline, 10);
    }
  }
}

TEST(HangDetector, AStoppedRankIsNotTakenForOneThatLoopsOrWaits) {
  // It stopped a while after its last move, and the others have waited for longer than it is
  // silent.
  for (const RankPlace& last : {kCompute, kReduction}) {
    const std::vector<RankView> ranks{view(0, kReduction, 10.5), view(1, last, 0.8, 9.8)};
    EXPECT_EQ(judge(ranks, 0, kDeadlines).kind, Kind::kFine);
    const std::vector<RankView> later{view(0, kReduction, 11), view(1, last, 0.8, 10.3)};
    EXPECT_EQ(judge(later, 0, kDeadlines).kind, Kind::kSilent);
  }
}

TEST(HangDetector, SilenceForHalfTheDeadlineMakesAStragglerOnly) {
  const std::vector<RankView> ranks{view(0, kReduction, 5), view(1, kCompute, 0, 5)};
  const Verdict verdict = judge(ranks, 0, kDeadlines);
  EXPECT_EQ(verdict.kind, Kind::kFine);
  EXPECT_THAT(verdict.slow, ElementsAre(1));
  EXPECT_THAT(describe_slow(ranks[1], "b", kDeadlines),
              AllOf(HasSubstr("rank 1 (host b)"), HasSubstr("has not answered for 5.0 s"),
                    HasSubstr("step 12 of stage \"head\""), Not(HasSubstr("\n"))));
}

TEST(HangDetector, ARankThatLoopsWhileOthersWaitIsStuck) {
  const std::vector<RankView> ranks{view(0, kReduction, 11), view(1, kCompute, 12, 0.1),
                                    view(2, kReduction, 11, 0.1)};
  const Verdict verdict = judge(ranks, 0, kDeadlines);
  EXPECT_EQ(verdict.kind, Kind::kStuck);
  EXPECT_THAT(verdict.ranks, ElementsAre(1));
}

TEST(HangDetector, WaitingInACollectiveWithinForwardIsNotStuck) {
  // Synchronised BatchNorm: all are in forward, but only rank 2 is not in its sum.
  const RankPlace in_sum = in_call(kCompute, CollectiveKind::kSum, 512);
  const std::vector<RankView> ranks{view(0, in_sum, 11), view(1, in_sum, 11),
                                    view(2, kCompute, 11)};
  EXPECT_THAT(judge(ranks, 0, kDeadlines).ranks, ElementsAre(2));
}

TEST(HangDetector, ALongStepThatNobodyWaitsForIsFine) {
  const std::vector<RankView> ranks{view(0, kCompute, 50), view(1, kCompute, 50)};
  EXPECT_EQ(judge(ranks, 0, kDeadlines).kind, Kind::kFine);
  // Others have come to wait just now.
  const std::vector<RankView> late{view(0, kReduction, 0.5), view(1, kCompute, 50)};
  EXPECT_EQ(judge(late, 0, kDeadlines).kind, Kind::kFine);
}

TEST(HangDetector, ALongSaveOrEvaluationIsFineHoweverLongOthersWait) {
  for (const RankPhase phase : {RankPhase::kSaving, RankPhase::kEvaluation}) {
    const std::vector<RankView> ranks{view(0, place(phase), 5000), view(1, kReduction, 5000)};
    const Verdict verdict = judge(ranks, 1, kDeadlines);
    EXPECT_EQ(verdict.kind, Kind::kFine);
    EXPECT_THAT(verdict.slow, ElementsAre(0)) << "but a word is due";
    // Its process still has to be alive.
    const std::vector<RankView> dead{view(0, place(phase), 0, 11), view(1, kReduction, 11)};
    EXPECT_EQ(judge(dead, 1, kDeadlines).kind, Kind::kSilent);
  }
  const std::vector<RankView> soon{view(0, place(RankPhase::kSaving), 9), view(1, kReduction, 9)};
  EXPECT_THAT(judge(soon, 1, kDeadlines).slow, IsEmpty());
}

TEST(HangDetector, TransitionsAndStartUpHaveTheirOwnDeadline) {
  for (const RankPhase phase : {RankPhase::kTransition, RankPhase::kStartUp}) {
    const RankPlace waits = in_call(place(phase), CollectiveKind::kGather);
    std::vector<RankView> ranks{view(0, waits, 99), view(1, place(phase), 99)};
    EXPECT_EQ(judge(ranks, 0, kDeadlines).kind, Kind::kFine);
    ranks[0].last.still_seconds = ranks[1].last.still_seconds = 101;
    const Verdict verdict = judge(ranks, 0, kDeadlines);
    EXPECT_EQ(verdict.kind, Kind::kStuck);
    EXPECT_EQ(verdict.deadline, 100);
    EXPECT_THAT(describe(verdict, ranks, std::vector<std::string>{"a", "b"}, kDeadlines),
                HasSubstr("distributed.transition-deadline is 100 s"));
    // The watchdog of a process that runs beats in any phase.
    const std::vector<RankView> stopped{view(0, waits, 11), view(1, place(phase), 0, 11)};
    EXPECT_EQ(judge(stopped, 0, kDeadlines).kind, Kind::kSilent);
    EXPECT_EQ(judge(stopped, 0, {.hang = 0, .transition = 100}).kind, Kind::kFine);
  }
}

TEST(HangDetector, ASkippedCollectiveIsFoundWhenAllWait) {
  const RankPlace behind = in_call(place(RankPhase::kReduction, 101), CollectiveKind::kSum, 4096);
  const RankPlace ahead = in_call(place(RankPhase::kUpdate, 102), CollectiveKind::kSum, 8);
  // The few differ from the many, whether ahead or behind.
  for (const auto& [odd, others] : {std::pair(ahead, behind), std::pair(behind, ahead)}) {
    const std::vector<RankView> ranks{view(0, others, 11), view(1, odd, 12), view(2, others, 11)};
    const Verdict verdict = judge(ranks, 0, kDeadlines);
    EXPECT_EQ(verdict.kind, Kind::kApart);
    EXPECT_THAT(verdict.ranks, ElementsAre(1));
  }
  // Of two, the one ahead.
  const std::vector<RankView> two{view(0, ahead, 11), view(1, behind, 11)};
  const Verdict verdict = judge(two, 1, kDeadlines);
  EXPECT_THAT(verdict.ranks, ElementsAre(0));
  EXPECT_THAT(describe(verdict, two, std::vector<std::string>{"a", "b"}, kDeadlines),
              AllOf(HasSubstr("rank 0 (host a)"), HasSubstr("a collective was skipped"),
                    HasSubstr("in a sum of 8 bytes"), HasSubstr("rank 1: step 12"),
                    HasSubstr("in a sum of 4096 bytes")));
}

TEST(HangDetector, DifferentCallsAtTheSamePlaceAreFound) {
  const RankPlace sum = in_call(kCompute, CollectiveKind::kSum, 64);
  const RankPlace other = in_call(kCompute, CollectiveKind::kSum, 128);
  const std::vector<RankView> ranks{view(0, sum, 11), view(1, sum, 11), view(2, other, 11)};
  EXPECT_EQ(judge(ranks, 0, kDeadlines).kind, Kind::kApart);
  EXPECT_THAT(judge(ranks, 0, kDeadlines).ranks, ElementsAre(2));
  const std::vector<RankView> alike{view(0, sum, 11), view(1, sum, 11)};
  EXPECT_EQ(judge(alike, 0, kDeadlines).kind, Kind::kStandstill);
}

TEST(HangDetector, NobodyIsAccusedWhileSomebodyWorks) {
  const RankPlace sum = in_call(place(RankPhase::kUpdate), CollectiveKind::kSum, 8);
  const std::vector<RankView> ranks{view(0, place(RankPhase::kSaving), 90), view(1, sum, 80),
                                    view(2, kReduction, 80)};
  EXPECT_EQ(judge(ranks, 1, kDeadlines).kind, Kind::kFine);
}

TEST(HangDetector, WhoLeftAndSaidSoIsNotLookedAt) {
  std::vector<RankView> ranks{view(0, kReduction, 3), view(1, kCompute, 0, 500)};
  ranks[1].last.left = true;
  EXPECT_EQ(judge(ranks, 0, kDeadlines).kind, Kind::kFine);
  EXPECT_THAT(judge(ranks, 0, kDeadlines).slow, IsEmpty());
}

TEST(HangDetector, ZeroTurnsADeadlineOff) {
  const std::vector<RankView> ranks{view(0, kReduction, 5000), view(1, kCompute, 0, 5000)};
  EXPECT_EQ(judge(ranks, 0, {.hang = 0, .transition = 6000}).kind, Kind::kFine);
  const std::vector<RankView> waiting{view(0, kReduction, 5000), view(1, kReduction, 5000)};
  EXPECT_EQ(judge(waiting, 0, {.hang = 0, .transition = 100}).kind, Kind::kFine);
}

TEST(HangDetector, TheMessageNamesRankHostStepStageBucketAndWhereTheOthersAre) {
  RankPlace stopped = kCompute;
  stopped.bucket = 3;
  const std::vector<RankView> ranks{view(0, kReduction, 11), view(1, stopped, 0, 11),
                                    view(2, kReduction, 11), view(3, kData, 1)};
  const std::vector<std::string> hosts{"a", "b", "c", "d"};
  EXPECT_THAT(describe(judge(ranks, 0, kDeadlines), ranks, hosts, kDeadlines),
              AllOf(HasSubstr("rank 1 (host b) has not answered for 11 s"),
                    HasSubstr("step 12 of stage \"head\", forward and backward, bucket 3"),
                    HasSubstr("ranks 0, 2: step 12 of stage \"head\", averaging gradients"),
                    HasSubstr("rank 3: step 12 of stage \"head\", waiting for data"),
                    HasSubstr("distributed.hang-deadline is 10 s")));
}

}  // namespace
}  // namespace thaw
