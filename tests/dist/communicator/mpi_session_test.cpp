#include "dist/communicator/mpi/mpi_session.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "tests/support/mpi_job.h"

namespace thaw {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

class MpiSession : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { prepare_environment_of_mpi_jobs(); }
};

Ending job(int ranks, const std::string& way) {
  return outcome_of(std::string(THAW_MPIEXEC) + " -n " + std::to_string(ranks) + " " +
                    THAW_MPI_ENDINGS + " " + way);
}

void expect_all_ranks_heard(const Ending& ending, int ranks) {
  for (int rank = 0; rank < ranks; ++rank) {
    EXPECT_THAT(ending.output, HasSubstr("rank " + std::to_string(rank) + " says something"));
  }
}

TEST_F(MpiSession, EndsWith0WhereAllIsDone) {
  const Ending ending = job(3, "done");
  EXPECT_EQ(ending.status, 0) << ending.output;
  expect_all_ranks_heard(ending, 3);
}

TEST_F(MpiSession, ReturnsAnAgreedStatusWithAllOutput) {
  for (int trial = 0; trial < 3; ++trial) {
    const Ending ending = job(3, "requeue");
    EXPECT_EQ(ending.status, 75) << ending.output;
    expect_all_ranks_heard(ending, 3);
  }
}

TEST_F(MpiSession, PrintsAnAgreedErrorOnce) {
  const Ending ending = job(3, "agreed");
  EXPECT_EQ(ending.status, 2) << ending.output;
  EXPECT_EQ(times(ending.output, "planted: no such file"), 1u) << ending.output;
  EXPECT_THAT(ending.output, HasSubstr("thaw: on rank 1 (host "));
  expect_all_ranks_heard(ending, 3);
}

TEST_F(MpiSession, AbortsWithTheStatusOfAnErrorOnOneRank) {
  const Ending ending = job(3, "alone");
  EXPECT_EQ(ending.status, 3) << ending.output;
  EXPECT_EQ(times(ending.output, "planted: disk full"), 1u) << ending.output;
  EXPECT_THAT(ending.output, HasSubstr("thaw: rank 1 (host "));
  EXPECT_EQ(job(2, "disagreement").status, 4);
}

TEST_F(MpiSession, AbortsOnForeignErrors) {
  const Ending ending = job(2, "foreign");
  EXPECT_EQ(ending.status, 3) << ending.output;
  EXPECT_THAT(ending.output, HasSubstr("thaw: rank 0 (host "));
  EXPECT_THAT(ending.output, HasSubstr("planted: foreign"));
}

TEST_F(MpiSession, AbortsInsteadOfHangingWhenAnErrorPasses) {
  const Ending ending = job(2, "unwound");
  EXPECT_EQ(ending.status, 3) << ending.output;
  EXPECT_THAT(ending.output, AllOf(HasSubstr("ended by an error that nobody caught"),
                                   Not(HasSubstr("caught too late"))));
}

TEST_F(MpiSession, WorksWithoutALauncher) {
  const Ending alone = outcome_of(std::string(THAW_MPI_ENDINGS) + " agreed");
  EXPECT_EQ(alone.status, 0) << alone.output;  // there is no rank 1 that could fail
  const Ending foreign = outcome_of(std::string(THAW_MPI_ENDINGS) + " foreign");
  EXPECT_EQ(foreign.status, 3) << foreign.output;
  EXPECT_THAT(foreign.output, HasSubstr("thaw: planted: foreign"));
}

// srun without the MPI's own start-up starts copies that do not know of each other.
TEST_F(MpiSession, RefusesTasksThatMpiDoesNotSeeAsOneJob) {
  const Ending first = outcome_of(std::string("env SLURM_STEP_NUM_TASKS=4 SLURM_PROCID=0 ") +
                                  THAW_MPI_ENDINGS + " done");
  EXPECT_EQ(first.status, 2) << first.output;
  EXPECT_THAT(first.output, HasSubstr("started 4 tasks"));
  const Ending second = outcome_of(std::string("env SLURM_STEP_NUM_TASKS=4 SLURM_PROCID=1 ") +
                                   THAW_MPI_ENDINGS + " done");
  EXPECT_EQ(second.status, 2);
  EXPECT_THAT(second.output, HasSubstr("started 4 tasks"));  // nothing ends without a word
}

}  // namespace
}  // namespace thaw
