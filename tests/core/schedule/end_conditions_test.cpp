// `until` as it is written: what is read, and what is refused with its line.
#include <gtest/gtest.h>

#include "core/schedule/end_condition.h"
#include "core/schedule/toml/schedule_writer.h"
#include "tests/core/schedule/schedule_fixture.h"

namespace thaw {
namespace {

/// One stage; `until` begins on line 7.
std::string stage(const std::string& until, const std::string& curve = "\"constant\"") {
  return "[[schedule.stage]]\nname = \"s\"\ngroups = [\"encoder.5\", \"head\"]\n"
         "learning-rate = 0.5\nuntil = " +
         until + "\ncurve = " + curve + "\n";
}

EndCondition until(const std::string& text) { return schedule_of(stage(text)).stages.at(0).until; }

std::string written(const std::string& text) { return toml_text(until(text)); }

TEST(EndConditions, EveryDefaultIsWrittenOut) {
  EXPECT_EQ(written("{ plateau = {} }"),
            "{ plateau = { metric = \"validation/loss\", mode = \"min\", patience = 3, "
            "least-change = 0.0 } }");
  EXPECT_EQ(written("{ plateau = { metric = \"validation/macro-f1\", patience = 2 } }"),
            "{ plateau = { metric = \"validation/macro-f1\", mode = \"max\", patience = 2, "
            "least-change = 0.0 } }");
  EXPECT_EQ(written("{ threshold = { metric = \"train/loss\", value = 0.5 } }"),
            "{ threshold = { metric = \"train/loss\", mode = \"min\", value = 0.5 } }");
  EXPECT_EQ(written("{ gradient-signal = { group = \"encoder.5\" } }"),
            "{ gradient-signal = { group = \"encoder.5\", every-steps = 100, patience = 1, "
            "least-change = 0.05 } }");
  EXPECT_EQ(written("{ seconds = 90 }"), "{ seconds = 90.0 }");
}

TEST(EndConditions, LeastAndMostLengths) {
  EXPECT_EQ(
      until("{ threshold = { value = 1 }, at-least = { steps = 5 }, at-most = { epochs = 3 } }"),
      until("{ any = [{ all = [{ threshold = { value = 1 } }, { steps = 5 }] }, "
            "{ epochs = 3 }] }"));
  EXPECT_EQ(until("{ any = [{ plateau = {} }, { seconds = 5 }], at-least = { epochs = 1 } }"),
            until("{ all = [{ any = [{ plateau = {} }, { seconds = 5 }] }, { epochs = 1 }] }"));
  EXPECT_EQ(until("{ plateau = {}, at-most = { seconds = 5 } }"),
            until("{ any = [{ plateau = {} }, { seconds = 5 }] }"));
}

TEST(EndConditions, ReadBackIdentical) {
  for (const char* text :
       {"{ plateau = { metric = \"train/loss\", patience = 7, least-change = 1e-5, mode = \"max\" "
        "} }",
        "{ all = [{ seconds = 0.1 }, { any = [{ epochs = 0.3 }, { plateau = {} }] }] }",
        "{ gradient-signal = { group = \"head\", every-steps = 3, patience = 2, least-change = 0.3 "
        "} }",
        "{ threshold = { value = 1e-9 }, at-most = { epochs = 2 } }"}) {
    EXPECT_EQ(until(written(text)), until(text)) << text;
  }
  const Schedule schedule =
      schedule_of(stage("{ curve-finished = true }", "{ shape = \"cosine\", steps = 40 }"));
  EXPECT_EQ(schedule_of(write_schedule_toml(schedule)), schedule);
  EXPECT_EQ(plain_text(schedule.stages[0].until), "end of the curve (40 steps)");
}

TEST(EndConditions, InPlainWords) {
  EXPECT_EQ(
      plain_text(until("{ plateau = {}, at-least = { steps = 5 }, at-most = { epochs = 1 } }")),
      "(plateau of validation/loss (patience 3) and 5 steps) or 1 epoch");
  EXPECT_EQ(plain_text(until("{ samples = 10000 }")), "10000 samples");
  EXPECT_EQ(plain_text(until("{ threshold = { metric = \"validation/accuracy\", value = 0.9 } }")),
            "validation/accuracy >= 0.9");
}

struct Bad {
  const char* until;
  const char* message;  ///< after "a.toml:7: schedule.stage[0].until"
};
class BadEnds : public testing::TestWithParam<Bad> {};

TEST_P(BadEnds, SayWhereAndWhat) {
  EXPECT_EQ(message_of_schedule(stage(GetParam().until)),
            std::string("a.toml:7: schedule.stage[0].until") + GetParam().message);
}

INSTANTIATE_TEST_SUITE_P(
    Table, BadEnds,
    testing::Values(
        Bad{"{ plateu = {} }", ".plateu: unknown condition; did you mean \"plateau\"?"},
        Bad{"{ plateau = 3 }",
            ".plateau: expected a table with metric, patience, least-change, mode, got the "
            "integer 3"},
        Bad{"{ plateau = { patiance = 3 } }",
            ".plateau.patiance: unknown key; did you mean \"patience\"?"},
        Bad{"{ plateau = { metric = \"validation/los\" } }",
            ".plateau.metric: \"validation/los\" is not one of train/loss, validation/loss, "
            "validation/accuracy, validation/macro-f1; did you mean \"validation/loss\"?"},
        Bad{"{ plateau = { patience = 0 } }",
            ".plateau.patience: 0 is out of range: at least 1 and at most 1000000000"},
        Bad{"{ plateau = { least-change = -1 } }",
            ".plateau.least-change: -1.0 is out of range: at least 0 and at most 1000000000"},
        Bad{"{ threshold = {} }", ".threshold.value: missing"},
        Bad{"{ seconds = 0 }", ".seconds: 0.0 is out of range: above 0 and at most 1000000000"},
        Bad{"{ samples = 0 }", ".samples: 0 would be a stage of no length"},
        Bad{"{ samples = 1.5 }", ".samples: expected an integer, got the number 1.5"},
        Bad{"{ plateau = {}, at-least = { samples = 3 }, at-most = { samples = 2 } }",
            ".at-least: is longer than at-most"},
        Bad{"{ gradient-signal = {} }", ".gradient-signal.group: missing"},
        Bad{"{ gradient-signal = { group = \"encoder.4\" } }",
            ".gradient-signal.group: \"encoder.4\" is no group that this stage trains "
            "(encoder.5, head); did you mean \"encoder.5\"?"},
        Bad{"{ curve-finished = true }",
            ".curve-finished: the curve takes its length from the end of the stage; give "
            "curve.steps"},
        Bad{"{ at-most = { epochs = 1 } }",
            ": at-least and at-most stand beside a condition, and there is none"},
        Bad{"{ plateau = {}, at-most = { plateau = {} } }",
            ".at-most: expected one length in epochs, steps, seconds or samples, such as { steps = "
            "100 }"},
        Bad{"{ plateau = {}, at-least = { epochs = 3 }, at-most = { epochs = 2 } }",
            ".at-least: is longer than at-most"},
        Bad{"{ plateau = {}, epochs = 3 }",
            ": says several conditions; write { any = [...] } or { all = [...] }"}));

INSTANTIATE_TEST_SUITE_P(
    NeverEnding, BadEnds,
    testing::Values(
        Bad{"{ threshold = { metric = \"validation/accuracy\", value = 1.5 } }",
            ": validation/accuracy never rises above 1, so the stage would never end"},
        Bad{"{ threshold = { value = -0.5 } }",
            ": validation/loss never falls below 0, so the stage would never end"},
        Bad{"{ all = [{ epochs = 1 }, { threshold = { value = -0.5 } }] }",
            ": validation/loss never falls below 0, so the stage would never end"},
        Bad{"{ any = [{ threshold = { value = -2 } }, { threshold = { value = -1 } }] }",
            ": validation/loss never falls below 0, so the stage would never end"}));

TEST(EndConditions, MayHoldAPartThatNeverHolds) {
  EXPECT_EQ(until("{ threshold = { value = -1 }, at-most = { epochs = 2 } }").kind,
            EndCondition::Kind::kAny);
}

TEST(EndConditions, WithoutAValidationSplit) {
  const auto read = [](const std::string& until) {
    return resolve_schedule(parse_partial_configuration("\n\n" + stage(until), "a.toml"), kBert,
                            100,
                            /*has_validation=*/false, kMetrics);
  };
  try {
    read("{ any = [{ epochs = 1 },\n{ plateau = { metric = \"validation/accuracy\" } }] }");
    ADD_FAILURE() << "no error";
  } catch (const InputError& error) {
    EXPECT_STREQ(error.what(),
                 "a.toml:8: schedule.stage[0].until.any[1].plateau.metric: "
                 "\"validation/accuracy\" needs a validation split, and the data has none");
  }
  EXPECT_EQ(read("{ plateau = { metric = \"train/loss\" } }").stages.size(), 1U);
}

TEST(StageFlags, ReachIntoConditionsAndPolicies) {
  const std::string text = stage("{ plateau = { patience = 2 }, at-most = { epochs = 3 } }");
  const auto with = [&](const std::string& key, const std::string& value) {
    return schedule_of(text + "policy = { kind = \"random\", groups = 1, always = [] }\n", kBert,
                       {{"schedule.stage.s." + key, value}})
        .stages.at(0);
  };
  EXPECT_EQ(with("until.plateau.patience", "7").until,
            until("{ plateau = { patience = 7 }, at-most = { epochs = 3 } }"));
  EXPECT_EQ(with("until.at-most.epochs", "9").until,
            until("{ plateau = { patience = 2 }, at-most = { epochs = 9 } }"));
  EXPECT_EQ(with("until.steps", "9").until, after_steps(9));
  EXPECT_EQ(with("policy.every-steps", "9").policy->every_steps(), 9);
  EXPECT_EQ(message_of_schedule(text, {{"schedule.stage.s.until.plateau.patience", "0"}}),
            "command line: --schedule.stage.s.until.plateau.patience: 0 is out of range: at least "
            "1 and at most 1000000000");
}

TEST(Curves, NeedALengthFromSomewhere) {
  EXPECT_EQ(message_of_schedule(stage("{ plateau = {} }", "\"cosine\"")),
            "a.toml:8: schedule.stage[0].curve: cosine needs a length, and no number of epochs or "
            "steps bounds this stage: give curve.steps, or until.at-most");
  EXPECT_EQ(message_of_schedule(
                stage("{ seconds = 5 }", "{ shape = \"constant\", warmup-fraction = 0.1 }")),
            "a.toml:8: schedule.stage[0].curve: warmup-fraction needs a length, and no number of "
            "epochs or steps bounds this stage: give curve.steps, or until.at-most");
  for (const auto& [until, curve] :
       {std::pair{"{ plateau = {}, at-most = { epochs = 2 } }", "\"cosine\""},
        std::pair{"{ samples = 250 }", "\"cosine\""},
        std::pair{"{ plateau = {} }", "{ shape = \"linear\", steps = 100 }"},
        std::pair{"{ plateau = {} }", "{ shape = \"constant\", warmup-steps = 5 }"}}) {
    EXPECT_EQ(message_of_schedule(stage(until, curve)), "no error") << until;
  }
}

}  // namespace
}  // namespace thaw
