#include "launch/compare/compare_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace thaw {
namespace {

using ::testing::Contains;
using ::testing::Not;

TEST(ThreadsBesideOthers, SharesTheCoresAmongRunsAndRanks) {
  CompareRequest request;
  request.parallel = 2;
  EXPECT_EQ(threads_beside_others(request, /*configured=*/false, 8), 4);
  request.ranks = 3;
  EXPECT_EQ(threads_beside_others(request, /*configured=*/false, 8), 1);
  EXPECT_EQ(threads_beside_others(request, /*configured=*/false, 2), 1);
}

TEST(ThreadsBesideOthers, LeavesAloneWhatIsConfiguredOrRunsAlone) {
  CompareRequest request;
  EXPECT_EQ(threads_beside_others(request, /*configured=*/false, 8), 0);
  request.parallel = 4;
  EXPECT_EQ(threads_beside_others(request, /*configured=*/true, 8), 0);
}

TEST(TrainCommand, TellsEachRunItsThreads) {
  CompareRequest request;
  request.threads = 2;
  EXPECT_THAT(train_command(request, {"full", 1, 0, 0, 3}, "thaw", "folder"),
              Contains("--train.threads"));
  request.threads = 0;
  EXPECT_THAT(train_command(request, {"full", 1, 0, 0, 3}, "thaw", "folder"),
              Not(Contains("--train.threads")));
}

}  // namespace
}  // namespace thaw
