#include <gmock/gmock.h>

#include "core/schedule/curves/curve.h"
#include "core/schedule/stage_options.h"
#include "tests/core/schedule/schedule_fixture.h"

namespace thaw {
namespace {

using testing::ElementsAre;

/// One stage on line 3 with `lines` from line 4 on, and whatever of name, groups, learning-rate
/// and until these do not say.
std::string stage(const std::string& lines) {
  std::string text = "[[schedule.stage]]\n" + lines + "\n";
  const auto complete = [&](const std::string& key, const std::string& value) {
    if (("\n" + lines).find("\n" + key) == std::string::npos) text += key + " = " + value + "\n";
  };
  complete("name", "\"s\"");
  complete("groups", "[\"head\"]");
  complete("learning-rate", "0.5");
  complete("until", "{ epochs = 1 }");
  return text;
}

Stage only_stage(const std::string& lines, const std::vector<std::string>& groups = kBert) {
  const Schedule schedule = schedule_of(stage(lines), groups);
  EXPECT_EQ(schedule.stages.size(), 1u);
  return schedule.stages.at(0);
}

TEST(ExplicitStages, OfTheDesignsExample) {
  const Schedule schedule = schedule_of(R"([[schedule.stage]]
name  = "head"
groups = ["head"]
learning-rate = 1e-3
until = { epochs = 1 }

[[schedule.stage]]
name = "upper"
groups = ["encoder.4", "encoder.5", "head"]
learning-rate = { head = 1e-3, "encoder.*" = 1e-4 }
until = { any = [ { epochs = 3 }, { all = [ { steps = 20 }, { epochs = 0.5 } ] } ] }
curve = { shape = "cosine", warmup-steps = 5, final-factor = 0.1 }
weight-decay = 0
clip-norm = 1
label-smoothing = 0.1
)");
  Stage head{"head", {"head"}, {1e-3}, {}, after_epochs(1), {}};
  Stage upper{"upper", {"encoder.4", "encoder.5", "head"}, {1e-4, 1e-4, 1e-3}, {}, {}, {}};
  upper.curve = {.shape = "cosine", .parameters = {{"final-factor", 0.1}}, .warmup_steps = 5};
  upper.until = any({after_epochs(3), all({after_steps(20), after_epochs(0.5)})});
  upper.overrides["weight-decay"] = 0.0;
  upper.overrides["clip-norm"] = 1.0;
  upper.overrides["label-smoothing"] = 0.1;
  EXPECT_EQ(schedule, (Schedule{{head, upper}}));
}

TEST(Groups, GlobsAndAllBut) {
  EXPECT_THAT(only_stage("groups = [\"encoder.[45]\"]").groups,
              ElementsAre("encoder.4", "encoder.5"));
  EXPECT_THAT(only_stage("groups = [\"!embeddings\", \"!encoder.[0-4]\"]").groups,
              ElementsAre("encoder.5", "head"));
  EXPECT_THAT(only_stage("groups = [\"encoder.*\", \"!encoder.[!0]\", \"head\"]").groups,
              ElementsAre("encoder.0", "head"));
  EXPECT_EQ(only_stage("groups = [\"*\"]").groups, kBert);
  EXPECT_THAT(only_stage("groups = [\"head\", \"h*\", \"encoder.0\"]").groups,
              ElementsAre("encoder.0", "head"))
      << "in the model's order, each once";
}

TEST(Groups, AnExactNameMeansItselfAlone) {
  EXPECT_THAT(only_stage("groups = [\"a?\"]", {"ab", "a?", "c"}).groups, ElementsAre("a?"));
}

TEST(LearningRates, FirstMatchInTheFilesOrderWins) {
  // In the order of names, as toml++ gives them, "*" would come first.
  EXPECT_THAT(only_stage("groups = [\"*\"]\nlearning-rate = { head = 3, \"encoder.5\" = 2, "
                         "\"encoder.*\" = 1, \"*\" = 0 }")
                  .learning_rates,
              ElementsAre(0, 1, 1, 1, 1, 1, 2, 3));
  EXPECT_THAT(only_stage("groups = [\"encoder.[45]\"]\n"
                         "learning-rate = { \"encoder.*\" = 1, \"encoder.5\" = 2 }")
                  .learning_rates,
              ElementsAre(1, 1));
}

TEST(LearningRates, DottedKeysNeedNoQuotes) {
  EXPECT_THAT(only_stage("groups = [\"encoder.*\"]\n"
                         "learning-rate = { encoder.4 = 4, \"encoder.*\" = 1, encoder.5 = 5 }")
                  .learning_rates,
              ElementsAre(1, 1, 1, 1, 4, 1));
}

TEST(LearningRates, DiscriminativeFallsFromTheLastActiveGroupDown) {
  const auto rates = only_stage(
                         "groups = [\"encoder.2\", \"encoder.4\", \"encoder.5\"]\n"
                         "learning-rate = { base = 8, discriminative = 2 }")
                         .learning_rates;
  EXPECT_THAT(rates, ElementsAre(1, 4, 8)) << "encoder.3 is counted";
}

struct BadStage {
  const char* lines;    ///< from line 4 on
  const char* message;  ///< in full
};

class BadStages : public testing::TestWithParam<BadStage> {};

TEST_P(BadStages, SayWhereAndWhat) {
  EXPECT_EQ(message_of_schedule(stage(GetParam().lines)), GetParam().message);
}

const char kListed[] = "(embeddings, encoder.0 … encoder.5, head)";

INSTANTIATE_TEST_SUITE_P(
    Table, BadStages,
    testing::Values(
        BadStage{"groups = [\"head\",\n\"encoder.7\"]",
                 "a.toml:5: schedule.stage[0].groups: \"encoder.7\" matches no group of this "
                 "model (embeddings, encoder.0 … encoder.5, head)"},
        BadStage{"groups = [\"*\", \"!haed\"]",
                 "a.toml:4: schedule.stage[0].groups: \"haed\" matches no group of this model "
                 "(embeddings, encoder.0 … encoder.5, head)"},
        BadStage{"groups = [\"head\", \"!head\"]",
                 "a.toml:4: schedule.stage[0].groups: no group is left to train"},
        BadStage{"groups = []",
                 "a.toml:4: schedule.stage[0].groups: expected an array of groups' "
                 "names or patterns"},
        BadStage{"groups = [3]",
                 "a.toml:4: schedule.stage[0].groups: expected an array of "
                 "groups' names or patterns"},
        BadStage{"grups = [\"head\"]",
                 "a.toml:4: schedule.stage[0].grups: unknown key; did you mean \"groups\"?"},
        BadStage{"name = 3",
                 "a.toml:4: schedule.stage[0].name: expected a string, got the integer 3"},
        BadStage{"name = \"\"", "a.toml:4: schedule.stage[0].name: must not be empty"},
        BadStage{"learning-rate = -1",
                 "a.toml:4: schedule.stage[0].learning-rate: -1.0 is out of range: at least 0 and "
                 "at most 1e+30"},
        BadStage{"learning-rate = nan",
                 "a.toml:4: schedule.stage[0].learning-rate: nan is not a finite number"},
        BadStage{"learning-rate = \"fast\"",
                 "a.toml:4: schedule.stage[0].learning-rate: expected "
                 "a number, got the string \"fast\""},
        BadStage{"groups = [\"*\"]\nlearning-rate = { head = 1, \"encoder.[013]\" = 1 }",
                 "a.toml:5: schedule.stage[0].learning-rate: gives no rate to embeddings, "
                 "encoder.2, encoder.4, encoder.5, which this stage trains"},
        BadStage{"learning-rate = { head = 1, encoder.9 = 1 }",
                 "a.toml:4: schedule.stage[0].learning-rate: \"encoder.9\" matches no group of "
                 "this model (embeddings, encoder.0 … encoder.5, head)"},
        BadStage{"learning-rate = { head = inf }",
                 "a.toml:4: schedule.stage[0].learning-rate.head: inf is not a finite number"},
        BadStage{"learning-rate = {}",
                 "a.toml:4: schedule.stage[0].learning-rate: gives no rate to head, which this "
                 "stage trains"},
        BadStage{"learning-rate = { discriminative = 2.6 }",
                 "a.toml:4: schedule.stage[0].learning-rate: discriminative needs a base beside "
                 "it"},
        BadStage{"learning-rate = { base = 1, discriminative = 0 }",
                 "a.toml:4: schedule.stage[0].learning-rate.discriminative: 0.0 is out of range: "
                 "at least 1e-06 and at most 1000000"},
        BadStage{"learning-rate = { base = 1, discriminative = 2, head = 1 }",
                 "a.toml:4: schedule.stage[0].learning-rate.head: cannot stand beside "
                 "discriminative; only base can"},
        BadStage{"weight-decay = -1",
                 "a.toml:4: schedule.stage[0].weight-decay: -1.0 is out of range: at least 0 and "
                 "at most 1e+30"},
        BadStage{"clip-norm = \"1\"",
                 "a.toml:4: schedule.stage[0].clip-norm: expected a number, "
                 "got the string \"1\""}));

INSTANTIATE_TEST_SUITE_P(
    Curves, BadStages,
    testing::Values(
        BadStage{"curve = \"cosin\"",
                 "a.toml:4: schedule.stage[0].curve: \"cosin\" is not one of "
                 "constant, linear, cosine, slanted-triangular, polynomial, cosine-restarts; did "
                 "you mean \"cosine\"?"},
        BadStage{"curve = 3",
                 "a.toml:4: schedule.stage[0].curve: expected a string, got the "
                 "integer 3"},
        BadStage{"curve = { warmup-steps = 3 }",
                 "a.toml:4: schedule.stage[0].curve: shape is missing"},
        BadStage{"curve = { shape = \"linear\", warmup = 3 }",
                 "a.toml:4: schedule.stage[0].curve.warmup: unknown key; a curve has shape, "
                 "warmup-steps, warmup-fraction, steps, period-steps, period-growth, final-factor, "
                 "power, cut-fraction, ratio"},
        BadStage{"curve = { shape = \"cosine-restarts\", period-growth = 0 }",
                 "a.toml:4: schedule.stage[0].curve.period-growth: 0 is out of range: at least 1 "
                 "and at most 1000"},
        BadStage{"curve = { shape = \"linear\", warmup-step = 3 }",
                 "a.toml:4: schedule.stage[0].curve.warmup-step: unknown key; did you mean "
                 "\"warmup-steps\"?"},
        BadStage{"curve = { shape = \"linear\", ratio = 3 }",
                 "a.toml:4: schedule.stage[0].curve.ratio: does not belong to the shape linear"},
        BadStage{"curve = { shape = \"slanted-triangular\", cut-fraction = 1 }",
                 "a.toml:4: schedule.stage[0].curve.cut-fraction: 1.0 is out of range: above 0 "
                 "and below 1"},
        BadStage{"curve = { shape = \"constant\", warmup-steps = 3, warmup-fraction = 0.1 }",
                 "a.toml:4: schedule.stage[0].curve: give warmup-steps or warmup-fraction, not "
                 "both"},
        // An epoch is 10 steps.
        BadStage{"curve = { shape = \"linear\", warmup-steps = 10 }",
                 "a.toml:4: schedule.stage[0].curve: a warm-up of 10 steps leaves nothing of 10 "
                 "steps"},
        BadStage{"curve = { shape = \"linear\", warmup-steps = 5, steps = 4 }",
                 "a.toml:4: schedule.stage[0].curve: a warm-up of 5 steps leaves nothing of 4 "
                 "steps"}));

INSTANTIATE_TEST_SUITE_P(
    Ends, BadStages,
    testing::Values(
        BadStage{"until = 3",
                 "a.toml:4: schedule.stage[0].until: expected a table such as { "
                 "epochs = 1 }, got the integer 3"},
        BadStage{"until = {}",
                 "a.toml:4: schedule.stage[0].until: says no condition, so the "
                 "stage would never end"},
        BadStage{"until = { epochs = 1, steps = 3 }",
                 "a.toml:4: schedule.stage[0].until: says several conditions; write { any = [...] "
                 "} or { all = [...] }"},
        BadStage{"until = { epochs = 0 }",
                 "a.toml:4: schedule.stage[0].until.epochs: 0 would be a stage of no length"},
        BadStage{"until = { epochs = -1 }",
                 "a.toml:4: schedule.stage[0].until.epochs: -1.0 is "
                 "out of range: above 0 and at most 1000000000"},
        BadStage{"until = { steps = 0 }",
                 "a.toml:4: schedule.stage[0].until.steps: 0 would be a stage of no length"},
        BadStage{"until = { steps = 1.5 }",
                 "a.toml:4: schedule.stage[0].until.steps: expected an "
                 "integer, got the number 1.5"},
        BadStage{"until = { any = [] }",
                 "a.toml:4: schedule.stage[0].until.any: expected an array of conditions such as "
                 "[{ epochs = 1 }, { steps = 100 }]"},
        BadStage{"until = { any = [{ epochs = 1 },\n{ all = [{ steps = 0 }] }] }",
                 "a.toml:5: schedule.stage[0].until.any[1].all[0].steps: 0 would be a stage of no "
                 "length"},
        BadStage{"until = { epoch = 1 }",
                 "a.toml:4: schedule.stage[0].until.epoch: unknown condition; did you mean "
                 "\"epochs\"?"},
        BadStage{"until = { epochs = 0.001 }",
                 "a.toml:4: schedule.stage[0].until: 0.001 epochs of 100 training samples are "
                 "less than one sample"},
        BadStage{"until = { steps = 999999999999999 }",
                 "a.toml:4: schedule.stage[0].until: 999999999999999 steps are more than 1e15 "
                 "samples"}));

/// Every number of a stage, as # in a line of it.
std::vector<std::string> lines_with_numbers() {
  std::vector<std::string> lines = {
      "learning-rate = #",
      "learning-rate = { head = # }",
      "learning-rate = { base = #, discriminative = 2.6 }",
      "learning-rate = { base = 0.1, discriminative = # }\ngroups = [\"*\"]",
      "until = { epochs = # }",
      "until = { steps = # }",
      "until = { seconds = # }",
      "until = { epochs = 1, at-most = { steps = # } }",
      "until = { plateau = { metric = \"validation/loss\", patience = # } }",
      "until = { plateau = { metric = \"validation/loss\", least-change = # } }",
      "until = { threshold = { metric = \"validation/loss\", value = # } }",
      "curve = { shape = \"constant\", warmup-steps = # }",
      "curve = { shape = \"constant\", warmup-fraction = # }",
      "curve = { shape = \"linear\", steps = # }",
      "curve = { shape = \"linear\", steps = { head = # } }",
      "thawed-warmup-steps = #",
      "thawed-rate-cap = #",
      "groups = [\"*\"]\npolicy = { kind = \"random\", groups = # }",
      "groups = [\"*\"]\npolicy = { kind = \"random\", every-steps = # }",
      "groups = [\"*\"]\npolicy = { kind = \"auto-freeze\", percentile = # }"};
  for (const Option* option : stage_options()) {
    const bool number = option->range.has_value();
    if (number) lines.push_back(option->key + " = #");
  }
  for (const CurveShape& shape : curve_shapes()) {
    for (const CurveParameter& parameter : shape.parameters) {
      EXPECT_TRUE(parameter.range.bounded()) << shape.name << " " << parameter.key;
      lines.push_back("curve = { shape = \"" + std::string(shape.name) + "\", " + parameter.key +
                      " = # }");
    }
  }
  return lines;
}

TEST(ExplicitStages, RefuseEveryNumberThatNobodyMeans) {
  for (const std::string& line : lines_with_numbers()) {
    for (const char* number : {"1e308", "-1e308", "inf", "-inf", "nan", "-9223372036854775808"}) {
      std::string text = line;
      text.replace(text.find('#'), 1, number);
      const std::string message = message_of_schedule(stage(text));
      const auto says = [&](const char* part) { return message.find(part) != std::string::npos; };
      EXPECT_TRUE(says("is out of range: ") || says("is not a finite number") ||
                  says("expected an integer"))
          << text << ": " << message;
    }
  }
}

TEST(ExplicitStages, RefuseRatesThatFollowFromOthers) {
  const std::string rates = "learning-rate = { base = 1e28, discriminative = 1e-3 }";
  EXPECT_THAT(message_of_schedule(stage(rates + "\ngroups = [\"*\"]")),
              testing::AllOf(testing::StartsWith("a.toml:4: schedule.stage[0].learning-rate: gives "
                                                 "embeddings the rate "),
                             testing::HasSubstr(": at most 1e+30")));
}

TEST(ExplicitStages, ListWhatIsMissing) {
  EXPECT_EQ(message_of_schedule("[[schedule.stage]]\n"),
            "a.toml:3: schedule.stage[0].name: missing; every stage must have it\n"
            "a.toml:3: schedule.stage[0].groups: missing; every stage must have it\n"
            "a.toml:3: schedule.stage[0].learning-rate: missing; every stage must have it\n"
            "a.toml:3: schedule.stage[0].until: missing; every stage must have it");
}

TEST(ExplicitStages, ListAllProblemsOfAllStages) {
  EXPECT_EQ(message_of_schedule(stage("curve = \"round\"\ngroups = [\"tail\"]") +
                                stage("weight-decay = \"no\"")),
            std::string("a.toml:4: schedule.stage[0].curve: \"round\" is not one of constant, "
                        "linear, cosine, slanted-triangular, polynomial, cosine-restarts\n"
                        "a.toml:5: schedule.stage[0].groups: \"tail\" matches no group of this "
                        "model ") +
                kListed +
                "\n"
                "a.toml:10: schedule.stage[1].weight-decay: expected a number, got the string "
                "\"no\"\n"
                "a.toml:11: schedule.stage[1].name: \"s\" is the name of schedule.stage[0] "
                "already");
}

TEST(ExplicitStages, NeedNoPreset) {
  EXPECT_EQ(message_of_schedule(""),
            "a.toml: schedule: no stages; give [schedule] a preset, or "
            "write [[schedule.stage]]");
  EXPECT_EQ(message_of_schedule("schedule.preset = \"full\"\n" + stage("")),
            "a.toml:3: schedule.preset: the file writes its stages itself (line 4); use one or "
            "the other");
  EXPECT_EQ(message_of_schedule("schedule.embeddings = \"never\"\n" + stage("")),
            "a.toml:3: schedule.embeddings: is an option of presets, and no preset is given");
}

TEST(StageFlags, AreLaidOverTheStageOfThatName) {
  const std::string text =
      stage("name = \"encoder\"\nlearning-rate = { head = 1 }\ncurve = \"linear\"") +
      stage("name = \"encoder.4\"\nuntil = { epochs = 2 }");
  const auto with = [&](const std::string& key, const std::string& value) {
    return schedule_of(text, kBert, {{"schedule.stage." + key, value}}).stages;
  };
  EXPECT_EQ(with("encoder.learning-rate", "0.25")[0].learning_rates.at(0), 0.25);
  EXPECT_EQ(with("encoder.learning-rate.head", "0.25")[0].learning_rates.at(0), 0.25);
  EXPECT_EQ(with("encoder.learning-rate.h*", "0.25")[0].learning_rates.at(0), 0.25);
  EXPECT_EQ(with("encoder.4.learning-rate", "0.25")[1].learning_rates.at(0), 0.25)
      << "the longest name that fits";
  EXPECT_EQ(with("encoder.4.learning-rate.*ead", "0.25")[1].learning_rates.at(0), 0.25);
  EXPECT_EQ(with("encoder.curve", "cosine")[0].curve.shape, "cosine");
  EXPECT_EQ(with("encoder.curve.warmup-steps", "3")[0].curve,
            (Curve{.shape = "linear", .parameters = {{"final-factor", 0}}, .warmup_steps = 3}));
  EXPECT_EQ(with("encoder.4.curve.shape", "linear")[1].curve.shape, "linear");
  EXPECT_EQ(with("encoder.4.until.steps", "7")[1].until, after_steps(7));
  EXPECT_EQ(with("encoder.weight-decay", "0.5")[0].overrides.at("weight-decay"), OptionValue(0.5));
  EXPECT_THAT(with("encoder.4.groups", "encoder.*,!encoder.[1-5]")[1].groups,
              ElementsAre("encoder.0"));
}

TEST(StageFlags, AChangedRateKeepsItsPlaceInTheTable) {
  const auto stages = schedule_of(stage("groups = [\"encoder.[45]\"]\n"
                                        "learning-rate = { \"encoder.5\" = 5, \"encoder.*\" = 1 }"),
                                  kBert, {{"schedule.stage.s.learning-rate.encoder.*", "7"}})
                          .stages;
  EXPECT_THAT(stages[0].learning_rates, ElementsAre(7, 5));
}

TEST(StageFlags, SayWhatIsWrongAsFlags) {
  const auto message = [](const std::string& key, const std::string& value) {
    return message_of_schedule(stage("name = \"upper\""), {{"schedule.stage." + key, value}});
  };
  EXPECT_EQ(message("uper.weight-decay", "1"),
            "command line: --schedule.stage.uper.weight-decay: no stage of this name (there are "
            "upper); did you mean \"upper\"?");
  EXPECT_EQ(message("upper.weight-decya", "1"),
            "command line: --schedule.stage.upper.weight-decya: unknown key; did you mean "
            "\"weight-decay\"?");
  EXPECT_EQ(message("upper.weight-decay", "much"),
            "command line: --schedule.stage.upper.weight-decay: expected a number, got \"much\"");
  EXPECT_EQ(message("upper.until.epochs", "0"),
            "command line: --schedule.stage.upper.until.epochs: 0 would be a stage of no length");
  EXPECT_EQ(message("upper.learning-rate", "-1"),
            "command line: --schedule.stage.upper.learning-rate: -1.0 is out of range: at least "
            "0 and at most 1e+30");
}

}  // namespace
}  // namespace thaw
