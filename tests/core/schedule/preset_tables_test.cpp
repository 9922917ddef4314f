// The tables `curve`, `until` and `policy` of [schedule], laid over what a preset's stages have.
#include <fmt/format.h>
#include <gmock/gmock.h>

#include "core/schedule/toml/schedule_writer.h"
#include "tests/core/schedule/schedule_fixture.h"

namespace thaw {
namespace {

/// `rest` begins on line 6.
std::string preset(const std::string& name, const std::string& rest = "") {
  return "[schedule]\npreset = \"" + name + "\"\nlearning-rate = 0.5\n" + rest;
}

TEST(PresetTables, CurveStandsAsInAStage) {
  const auto curve = [](const std::string& rest, const std::vector<Override>& flags = {}) {
    return schedule_of(preset("full", rest), kBert, flags).stages.at(0).curve;
  };
  const Curve wanted{.shape = "linear", .parameters = {{"final-factor", 0.25}}, .steps = 7};
  EXPECT_EQ(curve("curve = { shape = \"linear\", final-factor = 0.25, steps = 7 }"), wanted);
  EXPECT_EQ(curve("[schedule.curve]\nshape = \"linear\"\nfinal-factor = 0.25\nsteps = 7\n"),
            wanted);
  EXPECT_EQ(curve("final-factor = 0.25\ncurve = { shape = \"linear\", steps = 7 }"), wanted)
      << "what the table leaves out is as the options have it";
  EXPECT_EQ(curve("curve = \"linear\"\nfinal-factor = 0.25", {{"schedule.curve.steps", "7"}}),
            wanted);
  EXPECT_EQ(curve("curve = { shape = \"cosine\", final-factor = 0.5, steps = 7 }",
                  {{"schedule.curve.shape", "linear"}, {"schedule.curve.final-factor", "0.25"}}),
            wanted);
}

TEST(PresetTables, CurvesWhoseKeysAreNoOptions) {
  const Curve wanted{
      .shape = "cosine-restarts",
      .parameters = {{"period-steps", 50}, {"period-growth", 2}, {"final-factor", 0.1}}};
  for (const Schedule& schedule :
       {schedule_of(preset("full",
                           "final-factor = 0.1\ncurve = { shape = \"cosine-restarts\", "
                           "period-steps = 50, period-growth = 2 }")),
        schedule_of(preset("full"), kBert,
                    {{"schedule.curve", "cosine-restarts"},
                     {"schedule.final-factor", "0.1"},
                     {"schedule.curve.period-steps", "50"},
                     {"schedule.curve.period-growth", "2"}})}) {
    EXPECT_EQ(schedule.stages.at(0).curve, wanted);
    EXPECT_EQ(schedule_of(write_schedule_toml(schedule)), schedule);
  }
  EXPECT_EQ(message_of_schedule(preset("full"), {{"schedule.curve", "cosine-restarts"},
                                                 {"schedule.curve.period-steps", "1.5"}}),
            "command line: --schedule.curve.period-steps: expected an integer, got \"1.5\"");
}

TEST(PresetTables, UntilTakesThePlaceOfLengths) {
  const auto ends = [](const std::string& rest, const std::vector<Override>& flags = {}) {
    std::vector<std::string> texts;
    for (const Stage& stage : schedule_of(preset("head-then-all", rest), kBert, flags).stages) {
      texts.push_back(toml_text(stage.until));
    }
    return texts;
  };
  const std::string plateau =
      "{ any = [{ plateau = { metric = \"validation/loss\", mode = \"min\", patience = 2, "
      "least-change = 0.0 } }, { seconds = 60.0 }] }";
  EXPECT_THAT(ends("until = { plateau = { patience = 2 }, at-most = { seconds = 60 } }"),
              testing::Each(plateau));
  EXPECT_THAT(ends("until = { samples = 10000 }"), testing::Each("{ samples = 10000 }"));
  EXPECT_THAT(ends("", {{"schedule.until.samples", "9"}}), testing::Each("{ samples = 9 }"));
  EXPECT_THAT(ends("", {{"schedule.until.steps", "9"}}), testing::Each("{ steps = 9 }"));
  EXPECT_THAT(ends("until = { plateau = {}, at-most = { seconds = 60 } }",
                   {{"schedule.until.plateau.patience", "2"}}),
              testing::Each(plateau));
}

TEST(PresetTables, PolicyOfItsPresetOrOfAny) {
  const auto policy = [](const std::string& name, const std::string& rest,
                         const std::vector<Override>& flags = {}) {
    return schedule_of(preset(name, rest), kBert, flags).stages.at(0).policy;
  };
  EXPECT_EQ(policy("random", "policy = { always = [\"head\"], groups = 3 }"),
            policy_of("{ kind = \"random\", always = [\"head\"], groups = 3 }"));
  EXPECT_EQ(policy("auto-freeze", "", {{"schedule.policy.percentile", "10"}}),
            policy_of("{ kind = \"auto-freeze\", percentile = 10 }"));
  EXPECT_EQ(policy("full", "policy = { kind = \"random\" }"), policy_of("{ kind = \"random\" }"));
}

TEST(PresetTables, StagesOwnFlagsCountMore) {
  const auto stages =
      schedule_of(preset("head-then-all"), kBert,
                  {{"schedule.stage.all.until.steps", "3"}, {"schedule.until.steps", "9"}})
          .stages;
  EXPECT_EQ(stages[0].until, after_steps(9));
  EXPECT_EQ(stages[1].until, after_steps(3));
}

TEST(PresetTables, RefuseContradictions) {
  const auto message = [](const std::string& name, const std::string& rest,
                          const std::vector<Override>& flags = {}) {
    return message_of_schedule(preset(name, rest), flags);
  };
  EXPECT_EQ(message("full", "until = { steps = 3 }\nstage-epochs = 1"),
            "a.toml:7: schedule.stage-epochs: cannot stand beside schedule.until, which says when "
            "each stage ends");
  EXPECT_EQ(
      message("freeze-out", "until = { steps = 3 }\ntotal-steps = 9"),
      "a.toml:6: schedule.until: freeze-out has lengths of its own: total-epochs, total-steps");
  EXPECT_EQ(message("full", "until = 3"),
            "a.toml:6: schedule.until: expected a table, as a stage has it, got the integer 3");
  EXPECT_EQ(
      message("full", "curve = { shape = \"liner\" }"),
      "a.toml:6: schedule.stage[0].curve.shape: \"liner\" is not one of " +
          fmt::format("{}", fmt::join(schedule_choices(kMetrics).at("schedule.curve"), ", ")) +
          "; did you mean \"linear\"?");
  EXPECT_EQ(message("head-then-all", "", {{"schedule.curve.power", "2"}}),
            "command line: --schedule.curve.power: does not belong to the shape constant");
  const std::string stage =
      "[[schedule.stage]]\nname = \"a\"\ngroups = [\"head\"]\nlearning-rate = 1\n"
      "until = { steps = 1 }\n";
  EXPECT_EQ(
      message_of_schedule(stage, {{"schedule.curve.shape", "linear"}}),
      "command line: --schedule.curve.shape: is an option of presets, and no preset is given");
  EXPECT_EQ(message_of_schedule("schedule.until = { steps = 1 }\n" + stage),
            "a.toml:3: schedule.until: is an option of presets, and no preset is given");
}

}  // namespace
}  // namespace thaw
