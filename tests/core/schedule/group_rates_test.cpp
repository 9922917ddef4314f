#include "core/schedule/group_rates.h"

#include <gmock/gmock.h>

#include "core/schedule/schedule_run.h"
#include "tests/core/schedule/schedule_fixture.h"

namespace thaw {
namespace {

using testing::ElementsAre;

const std::vector<std::string> kGroups = {"stem", "middle", "head"};

std::string stage(const std::string& name, const std::string& groups, const std::string& more) {
  return "[[schedule.stage]]\nname = \"" + name + "\"\ngroups = " + groups +
         "\nlearning-rate = 1\n" + more + "\n";
}

/// Rates of each group in each step, as the run goes; batches of 10 out of 100 samples.
std::vector<std::vector<double>> rates(const std::string& text) {
  const Schedule schedule = schedule_of(text, kGroups);
  ScheduleRun run(schedule, 100, 10);
  std::vector<std::vector<double>> all;
  std::int64_t cursor = 0;
  while (run.begin_stage(cursor)) {
    while (!run.ended()) {
      all.push_back(run.rates());
      run.commit_step({.samples = 10});
      cursor += 10;
    }
    run.end_stage();
  }
  return all;
}

TEST(GroupRates, WarmUpOfWhatATransitionThaws) {
  const auto all =
      rates(stage("a", "[\"head\"]", "until = { steps = 2 }\nthawed-warmup-steps = 3") +
            stage("b", "[\"middle\", \"head\"]", "until = { steps = 2 }\nthawed-warmup-steps = 3") +
            stage("c", "[\"*\"]", "until = { steps = 3 }\nthawed-warmup-steps = 3") +
            stage("d", "[\"stem\"]", "until = { steps = 1 }\nthawed-warmup-steps = 3") +
            stage("e", "[\"stem\", \"head\"]", "until = { steps = 1 }\nthawed-warmup-steps = 3"));
  EXPECT_THAT(all[0], ElementsAre(1)) << "the first stage thaws nothing";
  EXPECT_THAT(all[2], ElementsAre(0.25, 1));
  EXPECT_THAT(all[3], ElementsAre(0.5, 1));
  EXPECT_THAT(all[4], ElementsAre(0.25, 0.75, 1)) << "middle goes on with its warm-up";
  EXPECT_THAT(all[6], ElementsAre(0.75, 1, 1));
  EXPECT_THAT(all[7], ElementsAre(1));
  EXPECT_THAT(all[8], ElementsAre(1, 0.25)) << "the head was frozen and thawed again";
}

TEST(GroupRates, CapOfWhatTheFirstStageFroze) {
  const auto all = rates(
      stage("a", "[\"head\"]", "until = { steps = 1 }\nthawed-rate-cap = 0.3") +
      stage("b", "[\"*\"]", "until = { steps = 4 }\nthawed-rate-cap = 0.3\ncurve = \"linear\""));
  EXPECT_THAT(all[0], ElementsAre(1));
  EXPECT_THAT(all[1], ElementsAre(0.3, 0.3, 1));
  EXPECT_THAT(all[4], ElementsAre(0.25, 0.25, 0.25));
}

TEST(GroupRates, ACurveGoesOnOverStages) {
  const auto all = rates(stage("a", "[\"head\"]", "until = { steps = 2 }\ncurve = \"linear\"") +
                         stage("b", "[\"*\"]", "until = { steps = 3 }\ncurve = \"continued\"") +
                         stage("c", "[\"head\"]", "until = { steps = 2 }\ncurve = \"linear\""));
  std::vector<double> heads;
  for (const auto& step : all) heads.push_back(step.back());
  EXPECT_THAT(heads, ElementsAre(1, 0.8, 0.6, 0.4, 1 - 0.8, 1, 0.5));
}

TEST(GroupRates, ACurveOfKnownLengthGoesOnAfterAnEarlyEnd) {
  const auto all =
      rates(stage("a", "[\"head\"]",
                  "until = { steps = 2 }\ncurve = { shape = \"linear\", steps = 10 }") +
            stage("b", "[\"head\"]", "until = { curve-finished = true }\ncurve = \"continued\""));
  ASSERT_EQ(all.size(), 10U);
  EXPECT_DOUBLE_EQ(all[9][0], 1 - 0.9);
}

TEST(GroupRates, LengthsOfGroups) {
  const auto all = rates(stage("a", "[\"*\"]",
                               "until = { steps = 4 }\ncurve = { shape = \"linear\", steps = { "
                               "stem = 2, \"m*\" = 4 } }"));
  EXPECT_THAT(all[1], ElementsAre(0.5, 0.75, 0.75));
  EXPECT_THAT(all[3], ElementsAre(0, 0.25, 0.25));
}

TEST(Curves, ContinuedOnesAreRefusedWhereTheyCannotBe) {
  EXPECT_EQ(
      message_of_schedule(stage("a", "[\"head\"]", "until = { steps = 2 }\ncurve = \"continued\"")),
      "a.toml:8: schedule.stage[0].curve: there is no stage before whose curve could go on");
  EXPECT_EQ(message_of_schedule(
                stage("a", "[\"head\"]", "until = { steps = 2 }\ncurve = \"cosine\"") +
                stage("b", "[\"head\"]", "until = { plateau = {} }\ncurve = \"continued\"")),
            "a.toml:8: schedule.stage[0].curve: cosine needs a length, and no number of epochs or "
            "steps bounds all the stages that it runs over: give curve.steps, or until.at-most");
}

TEST(Transitions, AreReadFromStages) {
  const Stage read =
      schedule_of(stage("a", "[\"head\"]",
                        "until = { steps = 2 }\noptimizer-state = \"keep-staying\"\nrestore-best = "
                        "\"validation/accuracy\"\nfrozen-dropout = \"on\"\nfrozen-batch-norm = "
                        "\"update\""))
          .stages.at(0);
  EXPECT_EQ(read.optimizer_state, OptimizerCarry::kKeepStaying);
  ASSERT_TRUE(read.restore_best);
  EXPECT_EQ(read.restore_best->metric, "validation/accuracy");
  EXPECT_EQ(read.overrides.at("frozen-dropout"), OptionValue("on"));
  EXPECT_EQ(read.overrides.at("frozen-batch-norm"), OptionValue("update"));
  EXPECT_EQ(message_of_schedule(
                stage("a", "[\"head\"]", "until = { steps = 2 }\noptimizer-state = \"kept\"")),
            "a.toml:8: schedule.stage[0].optimizer-state: \"kept\" is not one of keep, reset, "
            "keep-staying; did you mean \"keep\"?");
}

}  // namespace
}  // namespace thaw
