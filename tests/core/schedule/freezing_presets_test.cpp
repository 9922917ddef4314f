// The presets that freeze again, and those of a policy.
#include <gmock/gmock.h>

#include "core/schedule/toml/schedule_writer.h"
#include "tests/core/schedule/schedule_fixture.h"

namespace thaw {
namespace {

using testing::ElementsAre;

Schedule preset(const std::string& name, const std::string& options = "",
                const std::vector<std::string>& groups = kResNet) {
  return schedule_of("[schedule]\npreset = \"" + name + "\"\nlearning-rate = 0.5\n" + options,
                     groups);
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
  EXPECT_EQ(length_of(schedule.stages[1]), 3);
  EXPECT_THAT(
      preset("head-then-all", "head-learning-rate = 2", {"layer", "head"}).stages[1].learning_rates,
      ElementsAre(0.5, 2));
}

TEST(FreezingPresets, TimesOfFreezeOut) {
  const auto ends = [](const std::string& options, const std::vector<std::string>& groups) {
    std::vector<double> times;
    const Schedule schedule = preset("freeze-out", "total-steps = 1000\n" + options, groups);
    for (const Stage& stage : schedule.stages) {
      times.push_back(length_of(stage) + (times.empty() ? 0 : times.back()));
    }
    return times;
  };
  EXPECT_THAT(ends("freeze-from = 0.5", {"a", "b", "head"}), ElementsAre(500, 750, 1000));
  EXPECT_THAT(ends("freeze-from = 0.125\nfreeze-plan = \"cubic\"", {"a", "b", "head"}),
              ElementsAre(125, 422, 1000));
  EXPECT_THAT(ends("freeze-from = 0.5", {"head"}), ElementsAre(1000));
}

TEST(FreezingPresets, FreezeOutFreezesFromTheInputOn) {
  const Schedule schedule = preset(
      "freeze-out", "total-steps = 100\nfreeze-from = 0.5\ncurve = \"cosine\"\nscale-rates = true",
      {"stem", "layer1", "head"});
  EXPECT_THAT(outline(schedule),
              ElementsAre("stem: stem layer1 head", "layer1: layer1 head", "head: head"));
  std::vector<double> lengths;
  for (const Stage& stage : schedule.stages) {
    EXPECT_EQ(stage.until.trigger->name(), "steps");
    lengths.push_back(length_of(stage));
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
  EXPECT_EQ(length_of(schedule.stages[0]), 20);
  EXPECT_EQ(length_of(schedule.stages[1]), 20);
  EXPECT_EQ(message_of_schedule("[schedule]\npreset = \"freeze-out\"\nlearning-rate = 0.5\n"),
            "a.toml:4: schedule.preset: freeze-out needs total-epochs or total-steps");
}

TEST(FreezingPresets, StagesThatEndByAPlateau) {
  const Schedule schedule = preset("top-down",
                                   "plateau = \"validation/accuracy\"\nplateau-patience = 2\n"
                                   "stage-epochs = 5\n");
  EXPECT_EQ(schedule.stages[3].until,
            until_of("{ plateau = { metric = \"validation/accuracy\", patience = 2 }, at-most = { "
                     "epochs = 5 } }"));
}

TEST(FreezingPresets, OneCurveOverAllStages) {
  const Schedule schedule =
      preset("top-down", "curve = \"linear\"\ncurve-at-transition = \"continue\"");
  EXPECT_FALSE(schedule.stages[0].curve.continued);
  for (std::size_t i = 1; i < schedule.stages.size(); ++i) {
    EXPECT_TRUE(schedule.stages[i].curve.continued);
    EXPECT_EQ(schedule.stages[i].curve.shape, "linear");
  }
}

TEST(FreezingPresets, Policies) {
  const Stage random = preset("random", "random-groups = 3\ntotal-epochs = 2").stages.at(0);
  EXPECT_EQ(random.groups, kResNet);
  EXPECT_EQ(random.policy, policy_of("{ kind = \"random\", groups = 3 }", kResNet));
  EXPECT_THAT(random.policy->always(), ElementsAre("stem", "head"));
  EXPECT_EQ(length_of(random), 2);
  EXPECT_THAT(preset("random", "embeddings = \"last\"").stages.at(0).policy->always(),
              ElementsAre("head"));
  const Stage guided = preset("gradient-guided", "random-seed = 3").stages.at(0);
  EXPECT_EQ(guided.policy, policy_of("{ kind = \"gradient-guided\", seed = 3 }", kResNet));
  EXPECT_THAT(guided.policy->always(), ElementsAre("stem", "head"));
  const Stage freeze = preset("auto-freeze", "freeze-percentile = 30").stages.at(0);
  EXPECT_EQ(freeze.policy, policy_of("{ kind = \"auto-freeze\", percentile = 30 }", kResNet));
  EXPECT_THAT(freeze.policy->always(), ElementsAre("head"));
}

TEST(FreezingPresets, AndTheirExplicitFormAreTheSameSchedule) {
  for (const char* name : {"chain-thaw", "head-then-all", "freeze-out", "random", "auto-freeze",
                           "auto-rgn", "gradient-guided", "top-down", "bottom-up"}) {
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
