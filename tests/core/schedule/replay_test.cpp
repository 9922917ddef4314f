#include "core/schedule/replay.h"

#include <gmock/gmock.h>

#include <algorithm>

#include "core/schedule/schedule_run.h"
#include "core/schedule/toml/schedule_writer.h"
#include "tests/core/schedule/schedule_fixture.h"

namespace thaw {
namespace {

/// Everything that a run does by its schedule: stage, groups and rates of each step.
struct Walk {
  std::vector<std::pair<std::vector<std::string>, std::vector<double>>> steps;
  std::vector<HappenedStage> happened;
};

Walk walk(const Schedule& schedule) {
  ScheduleRun run(schedule, 100, 10);
  Walk result;
  std::int64_t cursor = 0;
  while (run.begin_stage(cursor)) {
    result.happened.push_back({run.stage().name, run.state().stage, run.stage().groups, cursor / 10,
                               run.state().curve_length});
    while (!run.ended()) {
      result.steps.emplace_back(run.stage().groups, run.rates());
      StepValues values{.samples = 10};
      for (const std::string& group : run.needs().gradients) {
        // Lower groups settle sooner.
        const auto place =
            static_cast<double>(std::find(kBert.begin(), kBert.end(), group) - kBert.begin() + 1);
        values.gradient_norms[group] = 1 + place / static_cast<double>(cursor / 10 + 1);
      }
      run.commit_step(values);
      cursor += 10;
      if (cursor % 40 == 0) run.commit_evaluation({{"validation/loss", cursor < 200 ? 1.0 : 2.0}});
    }
    run.end_stage();
  }
  return result;
}

TEST(Replay, OfPoliciesPlateausAndCurvesIsTheSameRun) {
  const Schedule planned = schedule_of(R"(
[[schedule.stage]]
name = "lisa"
groups = ["*"]
learning-rate = { base = 1, discriminative = 2 }
curve = { shape = "cosine", warmup-fraction = 0.1 }
until = { steps = 25 }
policy = { kind = "random", every-steps = 10 }
thawed-warmup-steps = 4
thawed-rate-cap = 0.3

[[schedule.stage]]
name = "freeze"
groups = ["*"]
learning-rate = 0.5
curve = "continued"
until = { plateau = { patience = 4 }, at-most = { epochs = 5 } }
policy = { kind = "auto-freeze", every-steps = 3 }

[[schedule.stage]]
name = "last"
groups = ["head"]
learning-rate = 0.1
curve = "linear"
until = { steps = 5 }

[[schedule.stage]]
name = "restarts"
groups = ["encoder.5", "head"]
learning-rate = 0.1
curve = { shape = "cosine-restarts", period-steps = 3, period-growth = 2, warmup-steps = 2 }
until = { plateau = { patience = 4 }, at-most = { epochs = 5 } }
)");
  const Walk run = walk(planned);
  const auto steps = static_cast<std::int64_t>(run.steps.size());
  ASSERT_GT(run.happened.size(), 5U);
  const Schedule replay = replay_of(planned, run.happened, steps);
  const Walk again = walk(schedule_of(write_schedule_toml(replay)));
  EXPECT_EQ(again.steps, run.steps);
  ASSERT_EQ(again.happened.size(), run.happened.size());
  for (std::size_t i = 0; i < run.happened.size(); ++i) {
    EXPECT_EQ(again.happened[i].name, run.happened[i].name);
    EXPECT_EQ(again.happened[i].step, run.happened[i].step);
  }
  for (const Stage& stage : replay.stages) {
    EXPECT_FALSE(stage.policy);
    EXPECT_EQ(stage.until.trigger->name(), "steps");
  }
}

TEST(Replay, KeepsLengthsOfGroups) {
  const Schedule planned = schedule_of(R"(
[[schedule.stage]]
name = "a"
groups = ["*"]
learning-rate = 1
curve = { shape = "linear", steps = { "encoder.*" = 8 } }
until = { steps = 6 }

[[schedule.stage]]
name = "b"
groups = ["encoder.5", "head"]
learning-rate = 1
curve = "continued"
until = { steps = 6 }
)");
  const Walk run = walk(planned);
  const Schedule replay = replay_of(planned, run.happened, 12);
  EXPECT_EQ(walk(schedule_of(write_schedule_toml(replay))).steps, run.steps);
}

TEST(Replay, LeavesOutAStageThatDidNoStep) {
  const Schedule planned =
      schedule_of("schedule.preset = \"top-down\"\nschedule.learning-rate = 1\n");
  const std::vector<HappenedStage> happened = {{"head", 0, {"head"}, 0, 10},
                                               {"encoder.5", 1, {"encoder.5", "head"}, 10, 10}};
  EXPECT_EQ(replay_of(planned, happened, 10).stages.size(), 1U);
  EXPECT_EQ(replay_of(planned, happened, 12).stages.at(1).until, after_steps(2));
}

TEST(Replay, RefusesTheRunOfAnotherSchedule) {
  const Schedule planned = schedule_of("schedule.preset = \"full\"\nschedule.learning-rate = 1\n");
  EXPECT_THROW(replay_of(planned, {{"a", 3, {"head"}, 0, 0}}, 10), InputError);
  EXPECT_THROW(replay_of(planned, {{"a", 0, {"tail"}, 0, 0}}, 10), InputError);
}

}  // namespace
}  // namespace thaw
