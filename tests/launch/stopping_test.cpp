// The pure parts of stopping and starting again.
#include <gtest/gtest.h>

#include <csignal>
#include <cstdlib>

#include "core/base/error.h"
#include "launch/job/launch_command.h"
#include "launch/job/run_stops.h"

namespace thaw {
namespace {

using Words = std::vector<std::string>;

TEST(LaunchCommandTest, PartsOptionsOfItsOwnOfMpirunAndOfTheSubcommand) {
  const LaunchRequest request = parse_launch({"--bind-to", "none", "-n", "4", "--restarts", "2",
                                              "--host", "a,b", "--", "train", "-n", "x.toml"});
  EXPECT_EQ(request.ranks, 4);
  EXPECT_EQ(request.restarts, 2);
  EXPECT_EQ(request.mpirun_options, (Words{"--bind-to", "none", "--host", "a,b"}));
  EXPECT_EQ(request.subcommand, (Words{"train", "-n", "x.toml"}));
}

TEST(LaunchCommandTest, RefusesWhatItCannotStart) {
  for (const Words& words : std::vector<Words>{{},
                                               {"-n", "2"},
                                               {"-n", "2", "--"},
                                               {"-n", "--", "train"},
                                               {"-n", "0", "--", "train"},
                                               {"-n", "2x", "--", "train"},
                                               {"--restarts", "-1", "-n", "2", "--", "train"},
                                               {"--", "train"}}) {
    EXPECT_THROW(parse_launch(words), InputError) << words.size();
  }
  EXPECT_TRUE(parse_launch({"--help"}).help);
}

TEST(LaunchCommandTest, WhoDiesOfBeingAskedToStopHadNothingToSave) {
  EXPECT_EQ(status_of_job(128 + SIGUSR1, true), 75);
  EXPECT_EQ(status_of_job(128 + SIGUSR1, false), 128 + SIGUSR1) << "somebody else's doing";
  for (const int status : {0, 2, 3, 75, 137}) EXPECT_EQ(status_of_job(status, true), status);
}

TEST(RestartTest, StartsAgainWhereSomethingFailedAndSomethingWasSaved) {
  EXPECT_TRUE(start_again({{137, 10}}, 3, false));
  EXPECT_TRUE(start_again({{137, -1}}, 3, false));
  EXPECT_FALSE(start_again({{137, 10}}, 0, false));
  EXPECT_FALSE(start_again({{137, 10}}, 3, true));
  for (const int status : {0, 2, 75}) EXPECT_FALSE(start_again({{status, 10}}, 3, false));
  EXPECT_FALSE(start_again({{137, 1}, {137, 2}, {137, 3}}, 2, false));
}

TEST(RestartTest, GivesUpAfterTwoRestartsWithoutProgress) {
  EXPECT_TRUE(start_again({{3, 5}, {3, 5}}, 9, false));
  EXPECT_FALSE(start_again({{3, 5}, {3, 5}, {3, 5}}, 9, false));
  EXPECT_TRUE(start_again({{3, 5}, {3, 5}, {3, 6}}, 9, false));
  EXPECT_FALSE(start_again({{3, -1}, {3, -1}, {3, -1}}, 9, false));
}

TEST(RestartTest, WaitsLongerTheLessGoesForward) {
  EXPECT_EQ(back_off_seconds({{3, 5}}), 1);
  EXPECT_EQ(back_off_seconds({{3, 5}, {3, 5}}), 2);
  EXPECT_EQ(back_off_seconds({{3, 5}, {3, 5}, {3, 7}}), 1);
  EXPECT_EQ(back_off_seconds(std::vector<JobLife>(50, {3, -1})), 60);
}

TEST(StopMarginTest, FollowsWhatSavingAndStepsTook) {
  EXPECT_GT(stop_margin(5, 1, 3600), 2 * 5 + 2 * 1);
  EXPECT_LT(stop_margin(5, 1, 3600), 30);
  EXPECT_GT(stop_margin(50, 1, 3600), 100);
  EXPECT_GT(stop_margin(5, 60, 3600), 120);
  EXPECT_LT(stop_margin(0, 0.1, 10), 3);      // a short time is not all margin
  EXPECT_GT(stop_margin(0, 0.1, 86400), 60);  // saving has not been measured yet
}

TEST(StopMarginTest, TheEndIsSlurmsOrItsOwnWhateverComesFirst) {
  const auto seconds_left = [](double limit) {
    return std::chrono::duration<double>(end_of_time(limit).value() -
                                         std::chrono::steady_clock::now())
        .count();
  };
  unsetenv("SLURM_JOB_END_TIME");
  EXPECT_FALSE(end_of_time(0));
  EXPECT_NEAR(seconds_left(100), 100, 1);
  setenv("SLURM_JOB_END_TIME", std::to_string(std::time(nullptr) + 50).c_str(), 1);
  EXPECT_NEAR(seconds_left(0), 50, 2);
  EXPECT_NEAR(seconds_left(100), 50, 2);
  EXPECT_NEAR(seconds_left(10), 10, 1);
  // Another job's: it has passed. Later than clocks can count: no end.
  for (const char* nonsense : {"", "soon", "-5", "12x", "1000", "9223372036854775807"}) {
    setenv("SLURM_JOB_END_TIME", nonsense, 1);
    EXPECT_FALSE(end_of_time(0)) << nonsense;
  }
  unsetenv("SLURM_JOB_END_TIME");
  EXPECT_FALSE(end_of_time(1e300));
}

}  // namespace
}  // namespace thaw
