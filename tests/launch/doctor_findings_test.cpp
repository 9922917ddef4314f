#include "launch/doctor/doctor_findings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace thaw {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

RankFacts healthy(const std::string& host, int local_rank) {
  RankFacts facts;
  facts.host = host;
  facts.local_rank = local_rank;
  facts.local_size = 2;
  facts.cores = 8;
  facts.cores_of_host = 8;
  facts.threads = 4;
  facts.versions = "thaw 1";
  facts.shared_memory_bytes = std::int64_t{1} << 30;
  return facts;
}

std::vector<RankFacts> healthy_job() {
  return {healthy("a", 0), healthy("a", 1), healthy("b", 0), healthy("b", 1)};
}

std::vector<Finding> findings(const std::vector<RankFacts>& ranks) {
  return doctor_findings(ranks, {{1 << 20, 1e-3}}, "runs");
}

TEST(DoctorFindings, NothingIsWrongWithAHealthyJob) {
  EXPECT_THAT(findings(healthy_job()), IsEmpty());
}

TEST(DoctorFindings, AFolderThatIsNotShared) {
  auto ranks = healthy_job();
  ranks[2].sees_the_others_file = ranks[3].sees_the_others_file = false;
  const auto found = findings(ranks);
  ASSERT_THAT(found, SizeIs(1));
  EXPECT_TRUE(found[0].fault);
  EXPECT_THAT(found[0].what, HasSubstr("rank 2 (host b) does not see in runs"));
  EXPECT_THAT(found[0].what, HasSubstr("2 ranks alike"));
  EXPECT_THAT(found[0].fix, HasSubstr("share"));
}

TEST(DoctorFindings, AFolderThatCannotBeWrittenIsToldOnce) {
  auto ranks = healthy_job();
  ranks[0].folder_problem = "Read-only file system";
  ranks[0].sees_the_others_file = false;
  const auto found = findings(ranks);
  ASSERT_THAT(found, SizeIs(1));
  EXPECT_THAT(found[0].what, HasSubstr("Read-only file system"));
}

TEST(DoctorFindings, ARankBoundToOneCore) {
  auto ranks = healthy_job();
  for (RankFacts& rank : ranks) rank.cores = rank.threads = 1;
  const auto found = findings(ranks);
  ASSERT_THAT(found, SizeIs(1));
  EXPECT_THAT(found[0].what, HasSubstr("--bind-to none"));
  EXPECT_THAT(found[0].what, HasSubstr("4 ranks alike"));
}

TEST(DoctorFindings, OtherVersions) {
  auto ranks = healthy_job();
  ranks[3].versions = "thaw 2";
  const auto found = findings(ranks);
  ASSERT_THAT(found, SizeIs(1));
  EXPECT_THAT(found[0].what, HasSubstr("rank 3 (host b)"));
}

TEST(DoctorFindings, LittleSharedMemory) {
  auto ranks = healthy_job();
  ranks[1].shared_memory_bytes = 1 << 20;
  ASSERT_THAT(findings(ranks), SizeIs(1));
  for (RankFacts& rank : ranks) rank.local_size = 1;
  EXPECT_THAT(findings(ranks), IsEmpty());
}

TEST(DoctorFindings, Gpus) {
  auto ranks = healthy_job();
  for (RankFacts& rank : ranks) rank.gpus = 1, rank.built_with_cuda = true;
  EXPECT_THAT(findings(ranks)[0].what, HasSubstr("shares 1 GPU with 2 ranks"));
  for (RankFacts& rank : ranks) rank.gpus = 2;
  EXPECT_THAT(findings(ranks), IsEmpty());
  ranks[2].gpus = 0;
  EXPECT_THAT(findings(ranks)[0].what, HasSubstr("rank 2 (host b) sees no GPU"));
}

TEST(DoctorFindings, WhatIsSlowIsANote) {
  auto ranks = healthy_job();
  ranks[0].fsync_seconds = 0.5;
  ranks[0].lock_problem = "No locks available";
  auto found = doctor_findings(ranks, {{1 << 20, 0.1}}, "runs");
  ASSERT_THAT(found, SizeIs(3));
  for (const Finding& finding : found) EXPECT_FALSE(finding.fault) << finding.what;
}

TEST(DoctorFindings, CoresAsRanges) {
  EXPECT_EQ(list_of_cores({0, 1, 2, 5, 7, 8}), "0-2,5,7-8");
  EXPECT_EQ(list_of_cores({}), "");
}

TEST(DoctorFindings, BandwidthIsThatOfARing) {
  EXPECT_DOUBLE_EQ((BandwidthFacts{1000, 2}.bytes_per_second(4)), 750);
}

}  // namespace
}  // namespace thaw
