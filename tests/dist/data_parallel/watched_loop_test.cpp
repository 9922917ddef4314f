// A watch over a loop of somebody's own, as real processes. The watchdog itself:
// tests/dist/coordination.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "tests/support/mpi_job.h"

namespace thaw {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

class WatchedLoop : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { prepare_environment_of_mpi_jobs(); }

  static Ending loop(int ranks, const std::string& way, const std::string& deadline) {
    return outcome_of(std::string(THAW_MPIEXEC) + " -n " + std::to_string(ranks) + " " +
                      THAW_WATCHED_LOOP + " " + way + " " + deadline);
  }
};

TEST_F(WatchedLoop, SaysNothingWhereAllIsWell) {
  for (const int ranks : {1, 2, 3}) {
    const Ending ending = loop(ranks, "fine", "20");
    EXPECT_EQ(ending.status, 0) << ending.output;
    EXPECT_THAT(ending.output, Not(HasSubstr("thaw:")));
  }
}

TEST_F(WatchedLoop, ARankThatLoopsForEverIsNamedWithItsStep) {
  const Ending ending = loop(2, "loop", "1");
  EXPECT_EQ(ending.status, 4) << ending.output;
  EXPECT_THAT(ending.output, AllOf(HasSubstr("reports that rank 1 (host "),
                                   HasSubstr("step 5 of stage \"activation 3\"")));
}

TEST_F(WatchedLoop, ARankThatLeavesItsLoopEarlyIsNamed) {
  const Ending ending = loop(3, "skip", "1");
  EXPECT_EQ(ending.status, 4) << ending.output;
  EXPECT_THAT(ending.output, AllOf(HasSubstr("rank 1 (host "), HasSubstr("step 5")));
}

TEST_F(WatchedLoop, HasAWatchWithoutBeingAskedFor) {
  for (const char* way : {"default-loop", "default-skip"}) {
    const Ending ending = loop(2, way, "1");
    EXPECT_EQ(ending.status, 4) << ending.output;
    EXPECT_THAT(ending.output, AllOf(HasSubstr("rank 1 (host "), HasSubstr("step 5")));
  }
  const Ending fine = loop(2, "default-fine", "20");
  EXPECT_EQ(fine.status, 0) << fine.output;
  EXPECT_THAT(fine.output, Not(HasSubstr("thaw:")));
}

TEST_F(WatchedLoop, GoesOnAfterStepsThatExceptionsLeft) {
  for (const int ranks : {2, 3}) {
    const Ending ending = loop(ranks, "left", "10");
    EXPECT_EQ(ending.status, 0) << ending.output;
  }
}

}  // namespace
}  // namespace thaw
