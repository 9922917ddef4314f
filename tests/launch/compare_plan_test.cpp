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
  const auto command = [&](RunPurpose purpose) {
    return train_command(request, {"full", 1, 0, 0, 3}, "thaw", "folder", purpose);
  };
  EXPECT_THAT(command(RunPurpose::kCompared), Contains("--train.threads"));
  request.threads = 0;
  EXPECT_THAT(command(RunPurpose::kCompared), Not(Contains("--train.threads")));
  EXPECT_THAT(command(RunPurpose::kCompared), Contains("--measure-cached"));
  EXPECT_THAT(command(RunPurpose::kChoosing), Not(Contains("--measure-cached")));
  EXPECT_THAT(command(RunPurpose::kChoosing), Contains("--weights-later"));
}

TEST(ComparePlan, RunsAreMeasuredWithoutAPrefixCacheUnlessOneIsAskedFor) {
  CompareRequest request;
  const auto flags = [&] { return run_flags(request, {"full", 1, 0, 0, 3}); };
  EXPECT_THAT(flags(), Not(Contains("--train.prefix-cache")));
  request.budget = "flops";
  EXPECT_THAT(flags(), Contains("--train.prefix-cache"));
  request.overrides = {{"train.prefix-cache", "on"}};
  EXPECT_THAT(flags(), Not(Contains("off")));
}

}  // namespace
}  // namespace thaw
