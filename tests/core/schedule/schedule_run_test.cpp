// A schedule as it is walked through, and its state taken over in the middle.
#include "core/schedule/schedule_run.h"

#include <gtest/gtest.h>

#include "core/base/error.h"
#include "core/schedule/curves/curve.h"
#include "tests/core/schedule/schedule_fixture.h"
#include "tests/core/schedule/written_state.h"

namespace thaw {
namespace {

Stage stage(const std::string& name, EndCondition until) {
  Stage stage;
  stage.name = name;
  stage.groups = {"head"};
  stage.learning_rates = {1};
  stage.until = std::move(until);
  return stage;
}

Schedule schedule() {
  Schedule result;
  result.stages = {
      stage("first", until_of("{ plateau = { patience = 2 }, at-most = { epochs = 3 } }")),
      stage("second", after_steps(4))};
  result.stages[0].curve.shape = "linear";
  return result;
}

constexpr std::int64_t kSamples = 37, kBatch = 8;

/// What happened after each step: stage, factor, verdict.
struct Event {
  std::string stage;
  double factor;
  bool ended;
  bool operator==(const Event&) const = default;
};

/// Steps through a schedule with losses of a fixed sequence; a new walker each `restart` steps.
std::vector<Event> walk(const Schedule& schedule, std::int64_t restart) {
  const std::vector<double> losses = {5, 4, 4.5, 3, 3, 3.5};
  std::vector<Event> events;
  auto run = std::make_unique<ScheduleRun>(schedule, kSamples, kBatch);
  std::int64_t cursor = 0, steps = 0;
  std::size_t evaluations = 0;
  while (run->begin_stage(cursor)) {
    while (!run->ended()) {
      const double factor = run->rates().at(0);
      const std::int64_t left = kSamples - cursor % kSamples;
      const std::int64_t samples = std::min(kBatch, left);
      cursor += samples;
      run->commit_step({.samples = samples});
      if (++steps % 2 == 0) {
        run->commit_evaluation({{"validation/loss", losses[evaluations++ % losses.size()]}});
      }
      events.push_back({run->stage().name, factor, run->ended()});
      if (steps % restart == 0) {
        const ScheduleState saved = written_and_read(run->state());
        run = std::make_unique<ScheduleRun>(schedule, kSamples, kBatch);
        run->restore(saved);
        EXPECT_TRUE(run->begin_stage(cursor));
      }
    }
    run->end_stage();
  }
  return events;
}

TEST(ScheduleRun, EndsStagesByWhatItIsTold) {
  const auto events = walk(schedule(), 1000);
  // Losses 5, 4, 4.5, 3, 3, 3.5 at steps 2, 4, …: two evaluations without a best at step 12, and
  // 3 epochs would be 15.
  ASSERT_EQ(events.size(), 16U);
  EXPECT_TRUE(events[11].ended);
  EXPECT_EQ(events[11].stage, "first");
  EXPECT_DOUBLE_EQ(events[3].factor, 1 - 3.0 / 15);
  EXPECT_EQ(events[12].stage, "second");
}

TEST(ScheduleRun, GoesOnFromItsState) {
  const auto whole = walk(schedule(), 1000);
  for (const std::int64_t restart : {1, 2, 3, 5, 12}) {
    EXPECT_EQ(walk(schedule(), restart), whole) << restart;
  }
}

TEST(ScheduleRun, RestartsOfACurveAreWhereTheyWereAfterAResume) {
  Schedule known = schedule();
  known.stages[0].curve = {.shape = "cosine-restarts",
                           .parameters = {{"period-steps", 2}, {"period-growth", 2}}};
  known.stages[1].curve = known.stages[0].curve;
  known.stages[1].curve.continued = true;
  const auto whole = walk(known, 1000);
  EXPECT_EQ(whole.at(2).factor, 1) << "a period of two steps is over";
  for (const std::int64_t restart : {1, 3, 4}) EXPECT_EQ(walk(known, restart), whole);
}

TEST(ScheduleRun, RefusesTheStateOfAnotherSchedule) {
  const Schedule known = schedule();
  ScheduleRun run(known, kSamples, kBatch);
  ScheduleState state;
  state.stage = 3;
  EXPECT_THROW(run.restore(state), InputError);
  state.stage = 0;
  state.running = true;  // of a stage with two triggers, and here are none
  EXPECT_THROW(run.restore(state), InputError);
}

TEST(ScheduleRun, KnowsTheNextStageAndWhenItIsNear) {
  const Schedule known = schedule();
  ScheduleRun run(known, kSamples, kBatch);
  ASSERT_TRUE(run.begin_stage(0));
  EXPECT_EQ(run.stage_steps(), 15);
  EXPECT_EQ(run.next_stage()->name, "second");
  for (int i = 0; i < 12; ++i) run.commit_step({.samples = 8});
  EXPECT_FALSE(run.ends_soon());
  run.commit_step({.samples = 8});
  EXPECT_TRUE(run.ends_soon());
  run.end_stage();
  ASSERT_TRUE(run.begin_stage(104));
  EXPECT_FALSE(run.next_stage().has_value());
}

}  // namespace
}  // namespace thaw
