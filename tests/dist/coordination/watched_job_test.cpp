// The watchdog over MPI: real processes that go wrong. Stopped and killed processes of the command
// itself: tests/launch/command_watchdog_test.py.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "tests/support/mpi_job.h"

namespace thaw {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

class WatchedJob : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { prepare_environment_of_mpi_jobs(); }

  static Ending job(int ranks, const std::string& way, const std::string& deadline) {
    return outcome_of(std::string(THAW_MPIEXEC) + " -n " + std::to_string(ranks) + " " +
                      THAW_WATCHED_JOB + " " + way + " " + deadline);
  }
};

TEST_F(WatchedJob, SaysNothingWhereAllIsWell) {
  for (const int ranks : {1, 2, 3}) {
    const Ending ending = job(ranks, "fine", "20");
    EXPECT_EQ(ending.status, 0) << ending.output;
    EXPECT_THAT(ending.output, Not(HasSubstr("thaw:")));
  }
}

TEST_F(WatchedJob, ASkippedCollectiveEndsWith4) {
  for (const int ranks : {2, 3}) {
    const Ending ending = job(ranks, "skip", "1");
    EXPECT_EQ(ending.status, 4) << ending.output;
    EXPECT_THAT(
        ending.output,
        AllOf(HasSubstr("reports that rank 1 (host "), HasSubstr("a collective was skipped"),
              HasSubstr("step 5 of stage \"head\", optimizer, in a sum of 8 bytes"),
              HasSubstr("step 5 of stage \"head\", averaging gradients, in a sum of 8000 "
                        "bytes")));
  }
}

TEST_F(WatchedJob, AnEndlessLoopEndsWith4) {
  const Ending ending = job(2, "loop", "1");
  EXPECT_EQ(ending.status, 4) << ending.output;
  EXPECT_THAT(ending.output,
              AllOf(HasSubstr("rank 0 (host "), HasSubstr("reports that rank 1 (host "),
                    HasSubstr("has not moved"),
                    HasSubstr("step 5 of stage \"head\", forward and backward")));
}

TEST_F(WatchedJob, ALongSaveIsNoHang) {
  const Ending ending = job(2, "save", "3");
  EXPECT_EQ(ending.status, 0) << ending.output;
  EXPECT_EQ(times(ending.output, "straggler: rank 0"), 1U) << ending.output;
}

TEST_F(WatchedJob, AnErrorOfOneRankIsToldByItAlone) {
  const Ending ending = job(3, "alone", "5");
  EXPECT_EQ(ending.status, 3) << ending.output;
  EXPECT_THAT(ending.output, HasSubstr("thaw: rank 1 (host "));
  EXPECT_EQ(times(ending.output, "thaw:"), 1U) << ending.output;
}

TEST_F(WatchedJob, ARankThatVanishesIsNamed) {
  const Ending ending = job(2, "crash", "5");
  EXPECT_EQ(ending.status, 9) << ending.output;
  EXPECT_THAT(ending.output,
              AllOf(HasSubstr("rank 0 (host "), HasSubstr("rank 1 (host "),
                    HasSubstr("has not answered"), HasSubstr("step 5 of stage \"head\"")));
}

}  // namespace
}  // namespace thaw
