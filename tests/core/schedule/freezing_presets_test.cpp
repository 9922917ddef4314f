// The presets that freeze again, and those of a policy.
#include <gmock/gmock.h>

#include "core/schedule/preset_stages.h"
#include "core/schedule/toml/schedule_writer.h"
#include "tests/core/schedule/schedule_fixture.h"

namespace thaw {
namespace {

using testing::DoubleNear;
using testing::ElementsAre;
using Kind = EndCondition::Kind;

Schedule preset(const std::string& name, const std::string& options = "",
                const std::vector<std::string>& groups = kResNet) {
  return schedule_of("[schedule]\npreset = \"" + name + "\"\nlearning-rate = 0.5\n" + options,
                     groups);
}

/// Name and active groups of each stage, "head: encoder.5 head".
std::vector<std::string> outline(const Schedule& schedule) {
  std::vector<std::string> lines;
  for (const Stage& stage : schedule.stages) {
    lines.push_back(stage.name + ":");
    for (const std::string& group : stage.groups) lines.back() += " " + group;
  }
  return lines;
}

TEST(FreezingPresets, ChainThaw) {
  EXPECT_THAT(
      outline(preset("chain-thaw")),
      ElementsAre("head: head", "stem: stem", "layer1: layer1", "layer2: layer2", "layer3: layer3",
                  "layer4: layer4", "all: stem layer1 layer2 layer3 layer4 head"));
  EXPECT_THAT(outline(preset("chain-thaw", "embeddings = \"never\"\ngroups-per-stage = 3")),
              ElementsAre("head: head", "layer3: layer1 layer2 layer3", "layer4: layer4",
                          "all: layer1 layer2 layer3 layer4 head"));
}

TEST(FreezingPresets, HeadThenAllWithARateOfItsOwnAtTheEnd) {
  const Schedule schedule =
      preset("head-then-all", "stage-epochs = 1\ntotal-epochs = 4\nfinal-learning-rate = 0.01\n",
             {"stem", "layer", "head"});
  EXPECT_THAT(outline(schedule), ElementsAre("head: head", "all: stem layer head"));
  EXPECT_THAT(schedule.stages[0].learning_rates, ElementsAre(0.5));
  EXPECT_THAT(schedule.stages[1].learning_rates, ElementsAre(0.01, 0.01, 0.01));
  EXPECT_EQ(schedule.stages[1].until.amount, 3);
  EXPECT_THAT(
      preset("head-then-all", "head-learning-rate = 2", {"layer", "head"}).stages[1].learning_rates,
      ElementsAre(0.5, 2));
}

TEST(FreezingPresets, TimesOfFreezeOut) {
  EXPECT_THAT(freezing_times(3, 0.5, false), ElementsAre(0.5, 0.75, 1));
  EXPECT_THAT(freezing_times(3, 0.125, true),
              ElementsAre(DoubleNear(0.125, 1e-12), DoubleNear(0.421875, 1e-12), 1));
  EXPECT_THAT(freezing_times(1, 0.5, false), ElementsAre(1));
}

TEST(FreezingPresets, FreezeOutFreezesFromTheInputOn) {
  const Schedule schedule = preset(
      "freeze-out", "total-steps = 100\nfreeze-from = 0.5\ncurve = \"cosine\"\nscale-rates = true",
      {"stem", "layer1", "head"});
  EXPECT_THAT(outline(schedule),
              ElementsAre("stem: stem layer1 head", "layer1: layer1 head", "head: head"));
  std::vector<double> lengths;
  for (const Stage& stage : schedule.stages) {
    EXPECT_EQ(stage.until.kind, Kind::kSteps);
    lengths.push_back(stage.until.amount);
  }
  EXPECT_THAT(lengths, ElementsAre(50, 25, 25));
  EXPECT_THAT(schedule.stages[0].learning_rates, ElementsAre(1, 0.5 / 0.75, 0.5));
  const std::map<std::string, std::int64_t> ends = {{"stem", 50}, {"layer1", 75}, {"head", 100}};
  EXPECT_EQ(schedule.stages[0].curve.group_steps, ends);
  EXPECT_FALSE(schedule.stages[0].curve.continued);
  EXPECT_EQ(schedule.stages[2].curve.group_steps, ends);
  EXPECT_TRUE(schedule.stages[2].curve.continued);
}

TEST(FreezingPresets, FreezeOutsLengthInEpochs) {
  // 100 samples in batches of 10.
  const Schedule schedule = preset("freeze-out", "total-epochs = 4", {"layer1", "head"});
  EXPECT_EQ(schedule.stages[0].until.amount, 20);
  EXPECT_EQ(schedule.stages[1].until.amount, 20);
  EXPECT_EQ(message_of_schedule("[schedule]\npreset = \"freeze-out\"\nlearning-rate = 0.5\n"),
            "a.toml:4: schedule.preset: freeze-out needs total-epochs or total-steps");
}

TEST(FreezingPresets, StagesThatEndByAPlateau) {
  const Schedule schedule = preset("top-down",
                                   "plateau = \"validation/accuracy\"\nplateau-patience = 2\n"
                                   "stage-epochs = 5\n");
  const EndCondition& until = schedule.stages[3].until;
  ASSERT_EQ(until.kind, Kind::kAny);
  EXPECT_EQ(until.conditions[0].metric.metric, "validation/accuracy");
  EXPECT_EQ(until.conditions[0].metric.mode, MetricRule::Mode::kMax);
  EXPECT_EQ(until.conditions[0].metric.patience, 2);
  EXPECT_EQ(until.conditions[1].amount, 5);
}

TEST(FreezingPresets, OneCurveOverAllStages) {
  const Schedule schedule =
      preset("top-down", "curve = \"linear\"\ncurve-at-transition = \"continue\"");
  EXPECT_FALSE(schedule.stages[0].curve.continued);
  for (std::size_t i = 1; i < schedule.stages.size(); ++i) {
    EXPECT_TRUE(schedule.stages[i].curve.continued);
    EXPECT_EQ(schedule.stages[i].curve.shape, Curve::Shape::kLinear);
  }
}

TEST(FreezingPresets, Policies) {
  const Stage random = preset("random", "random-groups = 3\ntotal-epochs = 2").stages.at(0);
  EXPECT_EQ(random.groups, kResNet);
  EXPECT_EQ(random.policy.kind, Policy::Kind::kRandom);
  EXPECT_EQ(random.policy.groups, 3);
  EXPECT_THAT(random.policy.always, ElementsAre("stem", "head"));
  EXPECT_EQ(random.until.amount, 2);
  EXPECT_THAT(preset("random", "embeddings = \"last\"").stages.at(0).policy.always,
              ElementsAre("head"));
  const Stage freeze = preset("auto-freeze", "freeze-percentile = 30").stages.at(0);
  EXPECT_EQ(freeze.policy.kind, Policy::Kind::kAutoFreeze);
  EXPECT_EQ(freeze.policy.percentile, 30);
  EXPECT_THAT(freeze.policy.always, ElementsAre("head"));
}

TEST(FreezingPresets, AndTheirExplicitFormAreTheSameSchedule) {
  for (const char* name : {"chain-thaw", "head-then-all", "freeze-out", "random", "auto-freeze",
                           "top-down", "bottom-up"}) {
    for (const char* options :
         {"", "curve = \"cosine\"\ncurve-at-transition = \"continue\"\nwarmup-steps = 2\n",
          "curve = \"polynomial\"\npower = 2\nthawed-warmup-steps = 3\nthawed-rate-cap = 0.1\n"
          "optimizer-state = \"keep-staying\"\ndiscriminative = 2.6\n"}) {
      const Schedule schedule = preset(name, std::string("total-epochs = 9\n") + options);
      const std::string text = write_schedule_toml(schedule);
      EXPECT_EQ(schedule_of(text, kResNet), schedule) << name << '\n' << text;
    }
  }
}

}  // namespace
}  // namespace thaw
