#include "core/schedule/stage_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "core/base/error.h"

namespace thaw {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

const std::vector<std::string> kGroups = {"embeddings", "encoder.0", "head"};

std::vector<ParameterFacts> model() {
  return {{"embeddings.weight", {100, 8}, ElementType::kFloat32, 0, true},
          {"encoder.0.weight", {8, 8}, ElementType::kFloat32, 1, true},
          {"encoder.0.bias", {8}, ElementType::kFloat32, 1, false},
          {"head.weight", {3, 8}, ElementType::kFloat32, 2, true},
          {"head.bias", {3}, ElementType::kFloat32, 2, false}};
}

Stage upper() {
  Stage stage;
  stage.name = "upper";
  stage.groups = {"encoder.0", "head"};
  stage.learning_rates = {1e-4, 1e-3};
  return stage;
}

std::string input_error(const std::vector<ParameterFacts>& parameters, const Stage& stage) {
  try {
    make_stage_plan(kGroups, parameters, stage);
  } catch (const InputError& error) {
    return error.what();
  }
  return "no error";
}

TEST(StagePlan, HoldsOnlyActiveParametersInOrderOfDeclaration) {
  const StagePlan plan = make_stage_plan(kGroups, model(), upper());
  std::vector<std::string> names;
  for (const ParameterFacts& parameter : plan.parameters()) names.push_back(parameter.name);
  EXPECT_THAT(names, ElementsAre("encoder.0.weight", "encoder.0.bias", "head.weight", "head.bias"));
  EXPECT_EQ(plan.elements(), 64 + 8 + 24 + 3);
  EXPECT_EQ(plan.stage(), "upper");
}

TEST(StagePlan, CutIsTheFirstActiveGroup) {
  EXPECT_EQ(make_stage_plan(kGroups, model(), upper()).cut(), 1u);
  Stage all = upper();
  all.groups = {"head", "embeddings"};  // in any order
  EXPECT_EQ(make_stage_plan(kGroups, model(), all).cut(), 0u);
}

TEST(StagePlan, NoActiveGroupIsAPlanWithoutParameters) {
  Stage none;
  none.name = "none";
  const StagePlan plan = make_stage_plan(kGroups, model(), none);
  EXPECT_EQ(plan.cut(), kGroups.size());
  EXPECT_TRUE(plan.parameters().empty());
  EXPECT_TRUE(plan.rate_classes().empty());
}

TEST(StagePlan, ClassesSplitByRateAndDecay) {
  const StagePlan plan = make_stage_plan(kGroups, model(), upper());
  ASSERT_EQ(plan.rate_classes().size(), 4u);
  EXPECT_EQ(plan.rate_classes()[0], (RateClass{1e-4, true, {0}}));
  EXPECT_EQ(plan.rate_classes()[1], (RateClass{1e-4, false, {1}}));
  EXPECT_EQ(plan.rate_classes()[2], (RateClass{1e-3, true, {2}}));
  EXPECT_EQ(plan.rate_classes()[3], (RateClass{1e-3, false, {3}}));
}

TEST(StagePlan, GroupsWithEqualRatesShareAClass) {
  Stage stage = upper();
  stage.learning_rates = {1e-3, 1e-3};
  const StagePlan plan = make_stage_plan(kGroups, model(), stage);
  ASSERT_EQ(plan.rate_classes().size(), 2u);
  EXPECT_THAT(plan.rate_classes()[0].parameters, ElementsAre(0, 2));
  EXPECT_THAT(plan.rate_classes()[1].parameters, ElementsAre(1, 3));
}

TEST(StagePlan, EqualInputGivesEqualFingerprints) {
  EXPECT_EQ(make_stage_plan(kGroups, model(), upper()).fingerprint(),
            make_stage_plan(kGroups, model(), upper()).fingerprint());
}

// Each change of something that ranks must agree on gives a fingerprint of its own.
TEST(StagePlan, FingerprintCoversEverything) {
  std::vector<StagePlan> plans = {make_stage_plan(kGroups, model(), upper())};
  const auto with_stage = [&](auto change) {
    Stage stage = upper();
    change(stage);
    plans.push_back(make_stage_plan(kGroups, model(), stage));
  };
  const auto with_model = [&](auto change) {
    std::vector<ParameterFacts> parameters = model();
    change(parameters);
    plans.push_back(make_stage_plan(kGroups, parameters, upper()));
  };
  with_stage([](Stage& s) { s.name = "other"; });
  with_stage([](Stage& s) { s.learning_rates[0] = 1.0000000000000002e-4; });
  with_stage([](Stage& s) { s.curve.shape = "cosine"; });
  with_stage([](Stage& s) { s.curve.warmup_steps = 5; });
  with_stage([](Stage& s) { s.until = after_epochs(2); });
  with_stage([](Stage& s) { s.until = after_steps(1); });
  with_stage([](Stage& s) { s.overrides["clip-norm"] = 1.0; });
  with_stage([](Stage& s) { s.groups = {"embeddings", "head"}; });
  with_model([](auto& p) { p[1].shape = {4, 16}; });
  with_model([](auto& p) { p[1].type = ElementType::kFloat64; });
  with_model([](auto& p) { p[1].name = "renamed"; });
  with_model([](auto& p) { p[1].decays = false; });
  with_model([](auto& p) { p[1].group = 2; });
  with_model([](auto& p) { std::swap(p[1], p[2]); });
  with_model([](auto& p) { p.pop_back(); });
  with_model([](auto& p) { p[0].shape = {101, 8}; });  // frozen, but the models differ

  std::set<std::string> seen;
  for (const StagePlan& plan : plans) seen.insert(plan.fingerprint().hex());
  EXPECT_EQ(seen.size(), plans.size());
}

TEST(StagePlan, RefusesUnknownAndRepeatedGroups) {
  Stage unknown = upper();
  unknown.groups[0] = "encoder.7";
  EXPECT_THAT(input_error(model(), unknown),
              HasSubstr("no group \"encoder.7\" (it has embeddings, encoder.0, head)"));
  Stage twice = upper();
  twice.groups[0] = "head";
  EXPECT_THAT(input_error(model(), twice), HasSubstr("\"head\" is named twice"));
}

TEST(StagePlan, RefusesRatesThatDoNotFitTheGroups) {
  Stage stage = upper();
  stage.learning_rates.pop_back();
  EXPECT_THAT(input_error(model(), stage), HasSubstr("1 learning rates for 2 groups"));
}

TEST(StagePlan, RefusesParametersWithoutGroupOrWithEqualNames) {
  std::vector<ParameterFacts> parameters = model();
  parameters[2].group = 3;
  EXPECT_THAT(input_error(parameters, upper()),
              HasSubstr("\"encoder.0.bias\" belongs to no group"));
  parameters = model();
  parameters[4].name = "head.weight";
  EXPECT_THAT(input_error(parameters, upper()), HasSubstr("named \"head.weight\""));
}

}  // namespace
}  // namespace thaw
