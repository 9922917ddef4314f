#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "core/base/error.h"
#include "core/config/optimizers.h"
#include "core/schedule/stage_options.h"
#include "core/schedule/stage_plan.h"

namespace thaw {
namespace {

using testing::HasSubstr;

Stage stage_with(StageOverrides overrides) {
  Stage stage;
  stage.name = "upper";
  stage.groups = {"head"};
  stage.learning_rates = {1e-3};
  stage.overrides = std::move(overrides);
  return stage;
}

std::string refusal(StageOverrides overrides) {
  try {
    resolve({}, stage_with(std::move(overrides)));
  } catch (const InputError& error) {
    return error.what();
  }
  return "no error";
}

TEST(ResolveOptions, PutsTheStagesOwnInPlace) {
  TrainOptions train;
  train.clip_norm = 2;
  train.momentum = 0.5;
  TrainOptions expected = with_own_defaults(train);
  expected.clip_norm = 1;
  expected.frozen_dropout = FrozenDropout::kOn;
  expected.frozen_batch_norm = FrozenBatchNorm::kUpdate;
  EXPECT_EQ(resolve(train, stage_with({{"clip-norm", 1.0},
                                       {"frozen-dropout", "on"},
                                       {"frozen-batch-norm", "update"}})),
            expected);
  EXPECT_EQ(resolve(train, stage_with({})), with_own_defaults(train));
}

TEST(ResolveOptions, RefusesWhatAProgramGotWrong) {
  EXPECT_THAT(refusal({{"micro-batch", 1.0}}),
              HasSubstr("stage \"upper\": micro-batch: no option that a stage may override "
                        "(frozen-dropout, "));
  EXPECT_EQ(refusal({{"clip-norm", 1}}), "stage \"upper\": clip-norm: expected a number, got 1");
  EXPECT_EQ(
      refusal({{"clip-norm", -1.0}}),
      "stage \"upper\": clip-norm: -1.0 is out of range: 0, or at least 1e-30 and at most 1e+30");
  EXPECT_THAT(refusal({{"frozen-dropout", "no"}}), HasSubstr("\"no\" is not one of off, on"));
}

// What holds in a stage is part of its plan, whether the stage or the run says so.
TEST(ResolveOptions, ThePlanCoversWhatHolds) {
  const std::vector<std::string> groups = {"head"};
  const std::vector<ParameterFacts> parameters = {{.name = "head.weight", .shape = {2, 3}}};
  const auto plan = [&](const Stage& stage, const TrainOptions& train) {
    return make_stage_plan(groups, parameters, stage, train).fingerprint();
  };
  TrainOptions clipped;
  clipped.clip_norm = 1;
  EXPECT_EQ(plan(stage_with({{"clip-norm", 1.0}}), {}), plan(stage_with({}), clipped));
  std::set<std::string> seen;
  for (const Option* option : stage_options()) {
    const OptionValue other =
        option->choices.empty() ? OptionValue(0.25) : OptionValue(option->choices.at(1));
    seen.insert(plan(stage_with({{option->key, other}}), {}).hex());
  }
  seen.insert(plan(stage_with({}), {}).hex());
  EXPECT_EQ(seen.size(), stage_options().size() + 1);
}

}  // namespace
}  // namespace thaw
