// Each trigger on recorded sequences.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "core/schedule/triggers/trigger.h"
#include "tests/core/schedule/schedule_fixture.h"
#include "tests/core/schedule/written_state.h"

namespace thaw {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();

EndCondition plateau(const std::string& metric, std::int64_t patience, double least_change = 0,
                     const std::string& mode = "min") {
  return until_of(fmt::format(
      "{{ plateau = {{ metric = \"{}\", patience = {}, least-change = {}, mode = \"{}\" }} }}",
      metric, patience, least_change, mode));
}

EndCondition threshold(const std::string& metric, double value, const std::string& mode) {
  return until_of(fmt::format("{{ threshold = {{ metric = \"{}\", value = {}, mode = \"{}\" }} }}",
                              metric, value, mode));
}

EndCondition signal(std::int64_t every, std::int64_t patience, double least_change) {
  return until_of(
      fmt::format("{{ gradient-signal = {{ group = \"layer\", every-steps = {}, patience "
                  "= {}, least-change = {} }} }}",
                  every, patience, least_change),
      {"layer", "head"});
}

EndCondition steps(std::int64_t amount) { return after_steps(amount); }
EndCondition seconds(double amount) { return until_of(fmt::format("{{ seconds = {} }}", amount)); }

/// A stage as it is told of steps and evaluations.
class Recorded {
 public:
  explicit Recorded(EndCondition until) : until_(std::move(until)) {
    state.triggers = fresh_triggers(until_);
  }
  bool step(const StepValues& values = {.samples = 4}) {
    observe_step(until_, values, state);
    return stage_ended(until_, state, 100);
  }
  bool evaluation(const MetricValues& metrics) {
    observe_evaluation(until_, metrics, state);
    return stage_ended(until_, state, 100);
  }
  /// The number of evaluations of `metric` after which the stage was over; 0: it was not.
  std::size_t ends_at(const std::string& metric, const std::vector<double>& values) {
    for (std::size_t i = 0; i < values.size(); ++i) {
      step();
      if (evaluation({{metric, values[i]}})) return i + 1;
    }
    return 0;
  }
  ScheduleState state;

 private:
  EndCondition until_;
};

TEST(Plateau, CountsEvaluationsSinceTheBest) {
  const std::string loss = "validation/loss";
  EXPECT_EQ(Recorded(plateau(loss, 2)).ends_at(loss, {3, 2, 2.5, 1.9, 2, 1.9, 1}), 6U);
  EXPECT_EQ(Recorded(plateau(loss, 1)).ends_at(loss, {3, 2, 2}), 3U) << "equal is not better";
  EXPECT_EQ(Recorded(plateau(loss, 2)).ends_at(loss, {3, 2, 1, 0.5, 0.25}), 0U);
  EXPECT_EQ(Recorded(plateau(loss, 3)).ends_at(loss, {1, 2, 2, 2}), 4U);
}

TEST(Plateau, ANewBestIsBetterByMoreThanTheLeastChange) {
  const std::string loss = "validation/loss";
  // Each is better than the one before, by too little to count.
  EXPECT_EQ(Recorded(plateau(loss, 3, 0.1)).ends_at(loss, {1, 0.95, 0.91, 0.9}), 4U);
  EXPECT_EQ(Recorded(plateau(loss, 3, 0.1)).ends_at(loss, {1, 0.95, 0.91, 0.8, 0.8, 0.8}), 0U);
}

TEST(Plateau, OfAMetricThatRises) {
  const std::string accuracy = "validation/accuracy";
  const std::string max = "max";
  EXPECT_EQ(Recorded(plateau(accuracy, 2, 0, max)).ends_at(accuracy, {0.1, 0.5, 0.4, 0.5}), 4U);
}

TEST(Plateau, ANaNIsNeverABest) {
  const std::string loss = "validation/loss";
  EXPECT_EQ(Recorded(plateau(loss, 2)).ends_at(loss, {kNaN, kNaN}), 2U);
  EXPECT_EQ(Recorded(plateau(loss, 2)).ends_at(loss, {kNaN, 5, kNaN, 4, kNaN, kNaN}), 6U);
  EXPECT_EQ(Recorded(plateau(loss, 2)).ends_at(loss, {kInfinity, kInfinity, 3, 2, 1}), 0U);
}

TEST(Threshold, HoldsWhileTheNewestValueReachesIt) {
  const std::string max = "max";
  const std::string min = "min";
  const std::string accuracy = "validation/accuracy";
  EXPECT_EQ(Recorded(threshold(accuracy, 0.8, max)).ends_at(accuracy, {0.1, 0.79, 0.8}), 3U);
  EXPECT_EQ(Recorded(threshold("validation/loss", 1, min)).ends_at("validation/loss", {2, 1}), 2U);
  EXPECT_EQ(Recorded(threshold(accuracy, 0.8, max)).ends_at(accuracy, {kNaN}), 0U);
  const EndCondition both = all({threshold(accuracy, 0.8, max), steps(3)});
  EXPECT_EQ(Recorded(both).ends_at(accuracy, {0.9, 0.7, 0.7, 0.7, 0.85}), 5U);
}

TEST(TrainLoss, IsTheMeanOverSamplesSinceTheLastEvaluation) {
  Recorded run(threshold("train/loss", 2, "min"));
  EXPECT_FALSE(run.step({.samples = 4, .loss = 4}));
  EXPECT_FALSE(run.step({.samples = 1, .loss = 0}));
  EXPECT_FALSE(run.evaluation({}));
  EXPECT_DOUBLE_EQ(*run.state.triggers[0].last, 16.0 / 5);
  EXPECT_FALSE(run.step({.samples = 4, .loss = 1.5}));
  EXPECT_TRUE(run.evaluation({}));
  EXPECT_DOUBLE_EQ(*run.state.triggers[0].last, 1.5);
  EXPECT_TRUE(needs_of(threshold("train/loss", 2, "min")).loss);
}

TEST(TrainLoss, IsTheMeanOverCountedTokensWhereTheLossIs) {
  Recorded run(threshold("train/loss", 2, "min"));
  EXPECT_FALSE(run.step({.samples = 4, .counted_tokens = 30, .loss = 4}));
  EXPECT_FALSE(run.step({.samples = 4, .counted_tokens = 0, .loss = 0}));
  EXPECT_FALSE(run.step({.samples = 1, .counted_tokens = 10, .loss = 2}));
  EXPECT_FALSE(run.evaluation({}));
  EXPECT_DOUBLE_EQ(*run.state.triggers[0].last, 140.0 / 40);
}

TEST(GradientSignal, ComparesMeansOfIntervals) {
  Recorded run(signal(2, 1, 0.1));
  const auto norm = [&](double value) {
    return run.step({.samples = 4, .gradient_norms = {{"layer", value}}});
  };
  EXPECT_FALSE(norm(9));
  EXPECT_FALSE(norm(11));  // mean 10: nothing to compare it with
  EXPECT_FALSE(norm(5));
  EXPECT_FALSE(norm(7));  // mean 6: changed by 0.4
  EXPECT_FALSE(norm(100));
  EXPECT_TRUE(norm(-89));  // mean 5.5: changed by 0.083
}

TEST(GradientSignal, LeavesOutStepsThatWereSkipped) {
  Recorded run(signal(2, 1, 0.1));
  const auto norm = [&](double value) {
    return run.step({.samples = 4, .gradient_norms = {{"layer", value}}});
  };
  for (const double value : {9.0, kNaN, 11.0, kInfinity, 10.0, -kInfinity}) {
    EXPECT_FALSE(norm(value));
  }
  EXPECT_DOUBLE_EQ(*run.state.triggers[0].last, 10) << "the mean of 9 and 11";
  EXPECT_TRUE(norm(9)) << "that of 10 and 9 is close to it";
}

TEST(GradientSignal, NeedsSmallChangesInARow) {
  const auto ends_at = [](EndCondition until, const std::vector<double>& norms) {
    Recorded run(std::move(until));
    for (std::size_t i = 0; i < norms.size(); ++i) {
      if (run.step({.samples = 4, .gradient_norms = {{"layer", norms[i]}}})) return i + 1;
    }
    return std::size_t{0};
  };
  EXPECT_EQ(ends_at(signal(1, 1, 0.1), {10, 5, 4.9}), 3U);
  EXPECT_EQ(ends_at(signal(1, 2, 0.1), {10, 10.5, 20, 20, 20}), 5U);
  EXPECT_EQ(ends_at(signal(1, 1, 0.1), {0, 1, 2, 4}), 0U);
  EXPECT_EQ(ends_at(signal(1, 1, 0.1), {1, 0, 0}), 3U) << "no gradient twice is no change";
}

TEST(Seconds, AreTheAgreedClocks) {
  Recorded run(seconds(10));
  EXPECT_FALSE(run.step({.samples = 4, .seconds = 9.99}));
  EXPECT_TRUE(run.step({.samples = 4, .seconds = 10}));
  EXPECT_TRUE(needs_of(seconds(10)).seconds);
}

TEST(CurveFinished, CountsWhatStagesBeforeMade) {
  Recorded run(until_of("{ curve-finished = true }", kBert, {.shape = "linear", .steps = 5}));
  run.state.curve_start = 3;
  EXPECT_FALSE(run.step());
  EXPECT_TRUE(run.step());
}

TEST(Nested, EachTriggerKeepsItsOwnState) {
  Recorded run(any({all({plateau("validation/loss", 1), steps(3)}),
                    plateau("validation/accuracy", 2, 0, "max")}));
  ASSERT_EQ(run.state.triggers.size(), 3U);
  const auto both = [&](double loss, double accuracy) {
    run.step();
    return run.evaluation({{"validation/loss", loss}, {"validation/accuracy", accuracy}});
  };
  EXPECT_FALSE(both(1, 0.1));
  EXPECT_FALSE(both(2, 0.2)) << "a plateau after fewer than three steps";
  EXPECT_TRUE(both(2, 0.3));
}

TEST(Needs, AreNothingForLengths) {
  const TriggerNeeds needs = needs_of(any({steps(3), after_epochs(1)}));
  EXPECT_FALSE(needs.loss || needs.seconds || needs.validation || !needs.gradients.empty());
}

TEST(State, JsonIsExact) {
  ScheduleState state;
  state.stage = 2;
  state.running = true;
  state.progress = {17, 133};
  state.seconds = 0.1 + 0.2;
  state.loss_sum = 1 / 3.0;
  state.loss_samples = 5;
  state.triggers = {{}, {.best = kInfinity, .last = -1e-300, .count = 3, .sum = 0.1, .steps = 2}};
  state.curve_start = 7;
  state.curve_length = 70;
  state.segment = 4;
  state.segment_progress = {1, 8};
  state.active = {"encoder.1", "head"};
  state.next_active = {"head"};
  state.first_active = {"head"};
  state.best = 0.25;
  state.ended = true;
  state.steps_since_thawed = {{"encoder.1", 3}, {"head", 17}};
  state.signals["encoder.1"] = {.last = 2.5};
  EXPECT_EQ(written_and_read(state), state);
  EXPECT_EQ(written_and_read(ScheduleState{}), ScheduleState{});
  state.triggers[0].last = kNaN;
  EXPECT_TRUE(std::isnan(*written_and_read(state).triggers[0].last));
}

}  // namespace
}  // namespace thaw
