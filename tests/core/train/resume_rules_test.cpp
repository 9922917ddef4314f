#include "core/train/resume_rules.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "core/base/error.h"
#include "core/config/option_table.h"
#include "core/record/metrics_cut.h"
#include "tests/support/temporary_folder.h"

namespace thaw {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

ConfigurationDocument document(const std::string& rest = "") {
  return parse_partial_configuration("[train]\noptimizer = \"sgd\"\n" + rest, "a.toml");
}

TEST(ResumeRulesTest, EveryOptionThatTrainsIsRefusedUnlessItWasThoughtAbout) {
  int refused = 0;
  for (const Option& option : option_table()) {
    const ChangeEffect effect = effect_of_change(option.name());
    const bool training =
        option.section == "model" || option.section == "data" || option.section == "train";
    if (!training) {
      EXPECT_NE(effect, ChangeEffect::kMathematics) << option.name();
    }
    refused += effect == ChangeEffect::kMathematics ? 1 : 0;
  }
  EXPECT_GT(refused, 20);
  EXPECT_EQ(effect_of_change("train.option-of-tomorrow"), ChangeEffect::kMathematics);
  EXPECT_EQ(effect_of_change("checkpoint.keep"), ChangeEffect::kNone);
}

TEST(ResumeRulesTest, ChangedOptionsAreNamedWithFileAndLine) {
  const ResumeVerdict verdict = compare_configurations(
      document(),
      document("weight-decay = 0.5\nmicro-batch = 4\nthreads = 7\n[checkpoint]\nkeep = 9\n"));
  EXPECT_THAT(verdict.refusals, ElementsAre(HasSubstr("a.toml:3: train.weight-decay: was 0.01 when "
                                                      "the run began, is 0.5 now")));
  EXPECT_THAT(verdict.warnings, ElementsAre(HasSubstr("train.micro-batch")));
  EXPECT_TRUE(compare_configurations(document(), document()).refusals.empty());
}

Stage stage(const std::string& name, double epochs) {
  Stage result;
  result.name = name;
  result.groups = {"head"};
  result.learning_rates = {0.1};
  result.until = after_epochs(epochs);
  return result;
}

TEST(ResumeRulesTest, StagesThatHaveNotBegunMayBeEditedAddedAndRemoved) {
  const Schedule before{{stage("a", 1), stage("b", 1), stage("c", 1)}};
  const Schedule edited{{stage("a", 1), stage("b", 2), stage("d", 1), stage("e", 1)}};
  EXPECT_TRUE(compare_stages(before, edited, 1).refusals.empty());
  EXPECT_THAT(compare_stages(before, edited, 2).refusals,
              ElementsAre(HasSubstr("schedule.stage.b.until: was { epochs = 1 } when this stage "
                                    "began, is { epochs = 2 } now")));
  EXPECT_THAT(compare_stages(before, {{stage("a", 1)}}, 2).refusals,
              ElementsAre(HasSubstr("schedule.stage.b: was trained already, and is gone")));
  EXPECT_TRUE(compare_stages(before, {{stage("a", 1)}}, 1).refusals.empty());
}

TEST(ResumeRulesTest, OtherThreadsWarnAndDeterministicRefuses) {
  const ResumeVerdict verdict = compare_facts({.threads = 1}, {.threads = 2});
  EXPECT_THAT(accept_or_refuse({verdict}, "c", false),
              ElementsAre(HasSubstr("threads of a rank (train.threads): 1 before, 2 now")));
  try {
    accept_or_refuse({verdict}, "c", true);
    FAIL() << "no error";
  } catch (const InputError& error) {
    EXPECT_THAT(error.what(), HasSubstr("c: cannot go on"));
    EXPECT_THAT(error.what(), HasSubstr("train.deterministic"));
  }
  EXPECT_THAT(compare_facts({.data = "x"}, {.data = "y"}).refusals,
              ElementsAre(HasSubstr("data.file")));
  EXPECT_TRUE(compare_facts({}, {}).warnings.empty());
}

TEST(ResumeRulesTest, CanonicalMayChangeRanksAndNothingElse) {
  const RunFacts before = {
      .ranks = 1, .threads = 1, .cpu = "AVX512", .processor = "EPYC", .torch = "2.11"};
  RunFacts now = before;
  now.ranks = 3;
  EXPECT_TRUE(compare_facts(before, now, /*canonical=*/true).refusals.empty());
  EXPECT_TRUE(compare_facts(before, now, /*canonical=*/true).warnings.empty());
  EXPECT_THAT(compare_facts(before, now).warnings, ElementsAre("ranks: 1 before, 3 now"));
  now = {.ranks = 1, .threads = 2, .cpu = "AVX2", .processor = "Xeon", .torch = "2.12"};
  EXPECT_THAT(compare_facts(before, now, /*canonical=*/true).refusals,
              ElementsAre(HasSubstr("train.threads): 1 before, 2 now; train.reduction "
                                    "\"canonical\" refuses other bits"),
                          HasSubstr("CPU instructions: AVX512 before, AVX2 now"),
                          HasSubstr("CPU: EPYC before, Xeon now"),
                          HasSubstr("LibTorch: 2.11 before, 2.12 now")));
  // A checkpoint from before the kind of CPU was recorded says nothing.
  EXPECT_TRUE(compare_facts({}, {.processor = "EPYC"}).warnings.empty());
}

TEST(ResumeRulesTest, WhatIsTrainedIsComparedByName) {
  const std::string hash(32, 'a');
  const std::map<std::string, std::string> facts = {{"program: version", "1"},
                                                    {"LibTorch: build of libtorch_cpu.so", "12"},
                                                    {"model.config: hidden_act", "\"gelu\""},
                                                    {"model.weights: content", hash},
                                                    {"data.file: mean", "0.5"},
                                                    {"data.file: split train: inputs", hash}};
  const auto changed = [&](const std::string& name, const std::string& value) {
    auto now = facts;
    now[name] = value;
    return compare_facts({.data = "x", .identity = facts}, {.data = "y", .identity = now});
  };
  // Labels of splits that are not read are in `data`, and do not count.
  EXPECT_TRUE(changed("program: version", "1").refusals.empty());
  EXPECT_THAT(changed("data.file: split train: inputs", std::string(32, 'b')).refusals,
              ElementsAre("data.file: holds other data: split train: inputs differ from when the "
                          "run began"));
  EXPECT_THAT(changed("data.file: mean", "0.6").refusals,
              ElementsAre("data.file: holds other data: mean was 0.5 when the run began, is 0.6 "
                          "now"));
  EXPECT_THAT(changed("model.config: hidden_act", "\"relu\"").refusals,
              ElementsAre(HasSubstr("hidden_act was \"gelu\"")));
  EXPECT_TRUE(changed("model.weights: content", std::string(32, 'b')).refusals.empty());
  const ResumeVerdict build = changed("LibTorch: build of libtorch_cpu.so", "13");
  EXPECT_THAT(build.warnings, ElementsAre(HasSubstr("LibTorch: build of libtorch_cpu.so")));
  EXPECT_TRUE(build.refusals.empty());
  // A split that is gone counts, a fact that only another version knows does not.
  auto now = facts;
  now.erase("data.file: split train: inputs");
  EXPECT_THAT(compare_facts({.identity = facts}, {.identity = now}).refusals,
              ElementsAre(HasSubstr("split train")));
  now = facts;
  now["data.file: of tomorrow"] = "1";
  EXPECT_TRUE(compare_facts({.identity = facts}, {.identity = now}).refusals.empty());
  // A checkpoint of an earlier version is compared by what it has.
  EXPECT_TRUE(compare_facts({.data = "x"}, {.data = "x", .identity = facts}).refusals.empty());
  EXPECT_THAT(compare_facts({.data = "x"}, {.data = "y", .identity = facts}).refusals,
              ElementsAre(HasSubstr("data.file: holds other data than when the run began")));
}

TEST(MetricsCutTest, WhatTheCheckpointKnowsStays) {
  const auto line = [](const std::string& event, int step) {
    return "{\"event\":\"" + event + "\",\"step\":" + std::to_string(step) + "}";
  };
  const MetricsCut cut{.step = 5, .evaluated = false};
  for (const char* event : {"step", "checkpoint", "audit", "resume", "transition", "evaluation"}) {
    EXPECT_TRUE(stays_in_log(line(event, 4), cut)) << event;
    EXPECT_FALSE(stays_in_log(line(event, 6), cut)) << event;
  }
  EXPECT_TRUE(stays_in_log(line("step", 5), cut));
  EXPECT_FALSE(stays_in_log(line("transition", 5), cut));  // it is made again
  for (const char* event : {"evaluation", "samples"}) {
    EXPECT_FALSE(stays_in_log(line(event, 5), cut)) << event;  // likewise
    EXPECT_TRUE(stays_in_log(line(event, 5), {.step = 5, .evaluated = true})) << event;
  }
  EXPECT_FALSE(stays_in_log(line("end", 4), cut));
  for (const char* damaged : {"", "{\"event\":\"step\",\"step\":", "[]", "{\"event\":\"step\"}",
                              "{\"event\":\"step\",\"step\":\"4\"}"}) {
    EXPECT_FALSE(stays_in_log(damaged, cut)) << damaged;
  }
}

TEST(MetricsCutTest, StepsThatTheLogLacksAreSaid) {
  EXPECT_EQ(missing_steps({.last = 25}, 25, 1), "");
  EXPECT_THAT(missing_steps({.last = 5}, 25, 1), HasSubstr("steps 6 to 25 are missing"));
  EXPECT_THAT(missing_steps({}, 25, 1), HasSubstr("steps 1 to 25 are missing"));
  EXPECT_EQ(missing_steps({.last = 20, .apart = 10}, 25, 10), "");
  EXPECT_EQ(missing_steps({.last = 20, .apart = 10}, 25, 1), "") << "log-every was 10 until now";
  EXPECT_NE(missing_steps({.last = 10, .apart = 10}, 25, 10), "");
  EXPECT_EQ(missing_steps({}, 0, 1), "");

  const TemporaryFolder folder;
  const std::string path = folder / "metrics.jsonl";
  std::ofstream(path) << "{\"event\":\"step\",\"step\":3}\n{\"event\":\"skipped\",\"step\":6}\n"
                         "{\"event\":\"checkpoint\",\"step\":7}\n{\"event\":\"step\",\"step\":9}\n"
                         "{\"event\":\"step\",\"st";
  const LoggedSteps logged = cut_metrics(path, {.step = 8});
  EXPECT_EQ(logged.last, 6);
  EXPECT_EQ(logged.apart, 3);
}

}  // namespace
}  // namespace thaw
