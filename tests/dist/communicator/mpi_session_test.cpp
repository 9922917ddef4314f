#include "dist/communicator/mpi_session.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <string>

namespace thaw {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

struct Ending {
  int status = -1;
  std::string output;
};

Ending outcome_of(const std::string& command) {
  Ending ending;
  std::FILE* pipe = popen(("exec 2>&1; timeout 60 " + command).c_str(), "r");
  if (!pipe) return ending;
  std::array<char, 4096> piece{};
  while (const std::size_t read = std::fread(piece.data(), 1, piece.size(), pipe)) {
    ending.output.append(piece.data(), read);
  }
  const int status = pclose(pipe);
  ending.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return ending;
}

/// More ranks than cores, and as root in containers, as in thaw_mpi_test; other MPIs do not look.
class MpiSession : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    for (const char* name : {"OMPI_ALLOW_RUN_AS_ROOT", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM",
                             "OMPI_MCA_rmaps_base_oversubscribe", "OMPI_MCA_mpi_yield_when_idle"}) {
      setenv(name, "1", 1);
    }
    setenv("OMPI_MCA_hwloc_base_binding_policy", "none", 1);
  }
};

Ending job(int ranks, const std::string& way) {
  return outcome_of(std::string(THAW_MPIEXEC) + " -n " + std::to_string(ranks) + " " +
                    THAW_MPI_ENDINGS + " " + way);
}

std::size_t times(const std::string& text, const std::string& part) {
  std::size_t count = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) {
    ++count;
  }
  return count;
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
  EXPECT_EQ(second.output, "");
}

}  // namespace
}  // namespace thaw
