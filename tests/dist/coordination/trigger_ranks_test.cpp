// Triggers on several ranks: the same verdicts at the same steps, and no cost where none is asked.
#include <gmock/gmock.h>

#include "tests/dist/coordination/schedule_job.h"
#include "tests/support/counting_communicator.h"

namespace thaw {
namespace {

/// Steps at which stages began, and the last step.
std::vector<std::int64_t> boundaries(const JobOutcome& outcome) {
  std::vector<std::int64_t> steps;
  for (const TransitionReport& transition : outcome.heard.transitions)
    steps.push_back(transition.step);
  steps.push_back(static_cast<std::int64_t>(outcome.heard.steps.size()));
  return steps;
}

class TriggerRanks : public testing::Test {
 protected:
  TriggerRanks() { job_.data = write_tiny_dataset(folder_, 37, 10); }
  TemporaryFolder folder_;
  ScheduleJob job_;
};

TEST_F(TriggerRanks, DecideEquallyAtEqualSteps) {
  job_.train.evaluate_every = 2;
  job_.schedule = tiny_schedule(R"(
[[schedule.stage]]
name = "plateau"
groups = ["head"]
learning-rate = 0.3
until = { plateau = { metric = "validation/loss", patience = 2, least-change = 0.01 }, at-most = { epochs = 20 } }

[[schedule.stage]]
name = "signal"
groups = ["middle", "head"]
learning-rate = 0.02
until = { gradient-signal = { group = "middle", every-steps = 3, least-change = 0.2 }, at-least = { steps = 7 }, at-most = { steps = 60 } }

[[schedule.stage]]
name = "train"
groups = ["*"]
learning-rate = 0.05
until = { any = [{ plateau = { metric = "train/loss", patience = 4 } }, { epochs = 15 }] }

[[schedule.stage]]
name = "curve"
groups = ["stem"]
learning-rate = 0.05
curve = { shape = "linear", steps = 5 }
until = { any = [{ curve-finished = true }, { seconds = 1000 }] }
)");
  const JobOutcome one = job_.run(1)[0];
  const std::vector<std::int64_t> expected = boundaries(one);
  ASSERT_EQ(expected.size(), 5U);
  EXPECT_LT(expected[1], 80) << "a plateau, not its at-most";
  EXPECT_THAT(expected[2] - expected[1], testing::AllOf(testing::Ge(7), testing::Lt(60)));
  EXPECT_LT(expected[3] - expected[2], 60);
  EXPECT_EQ(expected[4] - expected[3], 5);
  EXPECT_EQ(boundaries(job_.run(3)[0]), expected);
}

TEST_F(TriggerRanks, ByTheClockOfRank0) {
  job_.schedule = tiny_schedule(R"(
[[schedule.stage]]
name = "timed"
groups = ["head"]
learning-rate = 0.3
until = { seconds = 0.2 }
)");
  // Ranks that stopped at different steps would wait for each other, which run_ranks breaks off.
  const std::vector<JobOutcome> outcomes = job_.run(3);
  EXPECT_GT(outcomes[0].heard.steps.size(), 1U);
  EXPECT_GE(outcomes[0].heard.steps.size(), 1U);
}

TEST_F(TriggerRanks, CostCollectivesOnlyWhereTheyAskForSomething) {
  const auto count = [&](const std::string& until) {
    job_.audit_every = 0;
    job_.schedule = tiny_schedule(
        "[[schedule.stage]]\nname = \"s\"\ngroups = [\"head\"]\nlearning-rate = 0.01\nuntil = " +
        until + "\n");
    std::pair<int, int> counts;
    run_ranks(2, [&](Communicator& communicator) {
      CountingCommunicator counting(communicator);
      JobOutcome outcome;
      job_.train_on(counting, outcome);
      if (communicator.rank() == 0) counts = {counting.sums, counting.broadcasts};
    });
    return counts;
  };
  const auto plain = count("{ steps = 6 }");
  EXPECT_EQ(count("{ threshold = { value = 0 }, at-most = { steps = 6 } }"), plain)
      << "a metric of the validation split costs nothing more";
  const auto timed = count("{ seconds = 1000, at-most = { steps = 6 } }");
  EXPECT_EQ(timed.second - plain.second, 6);
}

}  // namespace
}  // namespace thaw
