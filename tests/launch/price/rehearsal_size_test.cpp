// How much of a run is rehearsed in how much time, and which of its stages.
#include <gtest/gtest.h>

#include "core/config/configuration.h"
#include "core/schedule/schedule.h"
#include "core/step/parameter_table.h"
#include "launch/price/distinct_stages.h"
#include "launch/price/rehearsal.h"
#include "launch/price/stage_spans.h"
#include "tests/core/train/tiny_model.h"
#include "tests/support/training.h"

namespace thaw {
namespace {

std::vector<StageKind> kinds(const std::vector<std::size_t>& cuts) {
  std::vector<StageKind> made;
  for (const std::size_t cut : cuts) made.push_back({.first = made.size(), .cut = cut});
  return made;
}

TEST(RehearsalSize, AllOfItWhereThereIsTime) {
  const RehearsalSize size =
      rehearsal_size({.seconds = 7, .step = {0, 1e-3}, .kinds = 4, .batch = 64, .ranks = 1});
  EXPECT_EQ(size.kinds, 4U);
  EXPECT_EQ(size.batch, 64);
  EXPECT_EQ(size.smaller, 0);
}

TEST(RehearsalSize, FewerStagesFirstThenSmallerBatches) {
  RehearsalQuestion question{.seconds = 7, .step = {0, 3e-3}, .kinds = 9, .batch = 64, .ranks = 1};
  EXPECT_EQ(rehearsal_size(question).batch, 64);
  EXPECT_LT(rehearsal_size(question).kinds, 9U);
  question.ranks = 4;  // of which each has a quarter to do
  EXPECT_EQ(rehearsal_size(question).kinds, 9U);
  question.step = {0, 0.03};  // briefly, before batches become smaller
  EXPECT_EQ(rehearsal_size(question).kinds, 3U);
  EXPECT_EQ(rehearsal_size(question).batch, 64);
  question.step = {0, 0.1};
  EXPECT_EQ(rehearsal_size(question).kinds, 2U);
  EXPECT_EQ(rehearsal_size(question).batch, 32);
  EXPECT_EQ(rehearsal_size(question).smaller, 16);
  question.step = {0, 1};
  EXPECT_EQ(rehearsal_size(question).batch, 8);  // two samples a rank, and one
  EXPECT_EQ(rehearsal_size(question).smaller, 4);
  question.step = {0.5, 0.001};  // less of which would take as long
  EXPECT_EQ(rehearsal_size(question).kinds, 3U);
  EXPECT_EQ(rehearsal_size(question).batch, 64);
}

TEST(ChosenKinds, HoldTheShallowestAndTheDeepest) {
  const std::vector<StageKind> all = kinds({3, 0, 6, 2, 5, 1, 4});
  EXPECT_EQ(chosen_kinds(all, 7), (std::vector<std::size_t>{0, 1, 2, 3, 4, 5, 6}));
  EXPECT_EQ(chosen_kinds(all, 3), (std::vector<std::size_t>{0, 1, 2}));
  EXPECT_EQ(chosen_kinds(all, 2), (std::vector<std::size_t>{1, 2}));
  EXPECT_EQ(chosen_kinds(all, 1), (std::vector<std::size_t>{1}));
}

TEST(ShortStage, HasNoLengthOfItsOwnAndRatesThatStayApart) {
  Stage stage;
  stage.learning_rates = {1e-3, 1e-4};
  stage.curve.shape = "linear";
  stage.until = after_epochs(3);
  stage.restore_best = MetricRule{.metric = "validation/loss"};
  const Stage brief = short_stage(stage, 13, 2, /*has_validation=*/false);
  EXPECT_EQ(brief.curve, Curve());
  EXPECT_FALSE(brief.restore_best);
  EXPECT_EQ(brief.until.conditions, (std::vector<EndCondition>{after_steps(13), after_seconds(2)}));
  EXPECT_GT(brief.learning_rates[0], brief.learning_rates[1]);
  EXPECT_LT(brief.learning_rates[0], 1e-11);
  EXPECT_TRUE(short_stage(stage, 13, 2, /*has_validation=*/true).restore_best);
}

TEST(StageKinds, WhoKeepsBestWeightsTakesMoreMemory) {
  const TinyModel model;
  const ParameterTable parameters(model, false);
  Schedule schedule{{make_stage("one", {"head"}, after_steps(1)),
                     make_stage("two", {"head"}, after_steps(2)),
                     make_stage("three", {"head"}, after_steps(3))}};
  schedule.stages[1].restore_best = MetricRule{.metric = "validation/loss"};
  const StageKinds found = stage_kinds(schedule, parameters, {});
  EXPECT_EQ(found.of_stage, (std::vector<std::size_t>{0, 1, 0}));
}

TEST(StageSpans, StepsAndEvaluations) {
  Schedule schedule;
  for (const EndCondition& until : {after_epochs(2), after_steps(5), after_seconds(60)}) {
    schedule.stages.emplace_back().until = until;
  }
  const std::vector<StageSpan> spans =
      stage_spans(schedule, {.samples = 100, .batch = 30, .evaluate_every = 0});
  EXPECT_EQ(spans[0].steps, 8);
  EXPECT_EQ(spans[0].evaluations, 2);
  EXPECT_EQ(spans[1].cursor, 200);
  EXPECT_EQ(spans[1].steps, 5);
  EXPECT_EQ(spans[1].evaluations, 2);  // at the epoch's end, and at its own
  EXPECT_EQ(spans[2].steps, 0);
  EXPECT_TRUE(spans[2].may_be_fewer);
  const auto every = stage_spans(schedule, {.samples = 100, .batch = 30, .evaluate_every = 3});
  EXPECT_EQ(every[0].evaluations, 3);  // after 3, 6 and 8
  EXPECT_EQ(every[1].evaluations, 2);
}

}  // namespace
}  // namespace thaw
