#include "core/record/lease_rules.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace thaw {
namespace {

LeaseRecord record() {
  return {.count = 7,
          .owner = "0123",
          .host = "node3",
          .system = "boot pid:[1]",
          .process = 12,
          .started = 99,
          .batch_job = "5"};
}

TEST(JudgeLease, WhatNobodyHoldsMayBeTaken) {
  EXPECT_EQ(judge_lease({}, 30), LeaseVerdict::kTake);
  LeaseRecord free = record();
  free.held = false;
  for (const bool moved : {false, true}) {
    for (const HolderSight holder :
         {HolderSight::kElsewhere, HolderSight::kRuns, HolderSight::kGone}) {
      EXPECT_EQ(judge_lease({.exists = true, .record = free, .holder = holder, .moved = moved}, 30),
                LeaseVerdict::kTake);
    }
  }
}

TEST(JudgeLease, AHolderOnThisSystemIsKnownToLiveOrNot) {
  LeaseSight sight{.exists = true, .record = record(), .holder = HolderSight::kGone};
  EXPECT_EQ(judge_lease(sight, 30), LeaseVerdict::kTake);
  sight.holder = HolderSight::kRuns;
  EXPECT_EQ(judge_lease(sight, 30), LeaseVerdict::kRefuse);
  // A stopped process renews nothing, and writes when it goes on.
  sight.still_seconds = 1e9;
  EXPECT_EQ(judge_lease(sight, 30), LeaseVerdict::kRefuse);
}

TEST(JudgeLease, AKilledHolderIsWaitedFor) {
  LeaseSight sight{.exists = true, .record = record(), .holder = HolderSight::kEnding};
  for (const bool moved : {false, true}) {
    sight.moved = moved;
    sight.still_seconds = 29;
    EXPECT_EQ(judge_lease(sight, 30), LeaseVerdict::kWatch);
    sight.still_seconds = 30;
    EXPECT_EQ(judge_lease(sight, 30), LeaseVerdict::kTake);
  }
}

TEST(JudgeLease, AHolderElsewhereIsDeadOnceItsCountHasNotMovedForTheWholeTimeOut) {
  for (const auto& seen : {std::optional(record()), std::optional<LeaseRecord>()}) {
    LeaseSight sight{.exists = true, .record = seen};
    EXPECT_EQ(judge_lease(sight, 30), LeaseVerdict::kWatch);
    sight.still_seconds = 29.9;
    EXPECT_EQ(judge_lease(sight, 30), LeaseVerdict::kWatch);
    sight.still_seconds = 30;
    EXPECT_EQ(judge_lease(sight, 30), LeaseVerdict::kTake);
    sight.moved = true;
    EXPECT_EQ(judge_lease(sight, 30), LeaseVerdict::kRefuse);
  }
}

TEST(LeaseText, ReadsBack) {
  const std::optional<LeaseRecord> read = parse_lease(lease_text(record()));
  ASSERT_TRUE(read);
  EXPECT_EQ(read->count, 7U);
  EXPECT_TRUE(read->held);
  EXPECT_EQ(read->owner, "0123");
  EXPECT_EQ(read->host, "node3");
  EXPECT_EQ(read->system, "boot pid:[1]");
  EXPECT_EQ(read->process, 12);
  EXPECT_EQ(read->started, 99U);
  EXPECT_EQ(read->batch_job, "5");
  EXPECT_EQ(lease_holder(*read), "process 12 on node3 (Slurm job 5)");
}

TEST(LeaseText, IsAsLongWhateverIsRenewed) {
  LeaseRecord later = record();
  later.count = ~std::uint64_t{0};
  later.held = false;
  EXPECT_EQ(lease_text(later).size(), lease_text(record()).size());
  EXPECT_FALSE(parse_lease(lease_text(later))->held);
  EXPECT_EQ(parse_lease(lease_text(later))->count, ~std::uint64_t{0});
}

TEST(LeaseText, IsNeverHalfUnderstood) {
  const std::string whole = lease_text(record());
  for (std::size_t size = 0; size < whole.size(); ++size) {
    EXPECT_FALSE(parse_lease(whole.substr(0, size))) << size;
  }
  std::string other = whole;
  other.replace(other.find("held"), 4, "hell");
  EXPECT_FALSE(parse_lease(other));
}

TEST(LeaseText, CarriesNoControlCharacters) {
  LeaseRecord odd = record();
  odd.host = "a\nowner b\x1b[2J";
  const std::optional<LeaseRecord> read = parse_lease(lease_text(odd));
  ASSERT_TRUE(read);
  EXPECT_EQ(read->host, "a?owner b?[2J");
  EXPECT_EQ(read->owner, "0123");
}

}  // namespace
}  // namespace thaw
