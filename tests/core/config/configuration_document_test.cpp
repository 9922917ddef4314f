#include "core/config/configuration_document.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "core/base/error.h"
#include "core/base/stopwatch.h"
#include "core/config/optimizers.h"

namespace thaw {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

/// The smallest file that is complete, in two lines; `rest` begins on line 3.
std::string with_required(const std::string& rest) {
  return "model.architecture = \"bert\"\ndata.file = \"a.h5\"\n" + rest;
}

std::string message_of(const std::string& text, const std::vector<Override>& overrides = {}) {
  try {
    parse_configuration(text, "a.toml", overrides);
  } catch (const InputError& error) {
    EXPECT_EQ(error.status(), ExitStatus::kBadInput);
    return error.what();
  }
  return "no error";
}

/// "a.a.a" of so many parts.
std::string parts(int count) {
  std::string key = "a";
  for (int i = 1; i < count; ++i) key += ".a";
  return key;
}

TEST(ReadConfiguration, RefusesKeysThatWouldExhaustTheStack) {
  for (const char* before : {"", "x = \"\\\\\" # .\n", "x = '\\'\n", "x = \"\"\"a\"\"\"\"\n",
                             "x = { y = '''a''''', ", "["}) {
    const std::string message = message_of(before + parts(2'000'000) + " = 1");
    EXPECT_THAT(message, HasSubstr("a key of more than 17 parts")) << before;
  }
  EXPECT_THAT(message_of("\n\n" + parts(18) + " = 1"), HasSubstr("a.toml:3: a key of more"));
  EXPECT_THAT(message_of(parts(17) + " = 1"), testing::Not(HasSubstr("parts")));
  const std::string dots(100, '.');
  EXPECT_EQ(message_of(with_required("data.cache = \"" + dots + "/x\" # " + dots)), "no error");
}

TEST(ReadConfiguration, IsQuickWithMegabytesOfWrongKeys) {
  std::string text = std::string(2'000'000, 'a') + " = 1\n[train]\n";
  for (int i = 0; i < 30'000; ++i) text += "batchsize" + std::to_string(i) + " = 1\n";
  const Stopwatch watch;
  EXPECT_THAT(message_of(text), HasSubstr("train.batchsize29999: unknown key"));
  EXPECT_LT(watch.seconds(), 60);  // comparing all with all takes many minutes
}

TEST(ReadConfiguration, TakesEverySectionAndKeepsTheOtherDefaults) {
  const auto document = parse_configuration(R"(
[model]
architecture = "resnet-cifar"
depth = 20
weights = "weights.safetensors"
head = "loaded"
dropout = 0.25

[data]
file = ["a.h5", "b-*.h5"]
batch = 32
horizontal-flip = true

[train]
optimizer = "sgd"
weight-decay = 1          # an integer serves as a number
epsilon = 1e-5

[schedule]
preset = "top-down"
learning-rate = 0.1

[checkpoint]
every-steps = 0

[distributed]
overlap = "off"

[output]
run-dir = "runs/x"
)",
                                            "a.toml");
  Configuration expected;
  expected.model.architecture = "resnet-cifar";
  expected.model.depth = 20;
  expected.model.weights = "weights.safetensors";
  expected.model.head = HeadSource::kLoaded;
  expected.model.dropout = 0.25;
  expected.data.file = {"a.h5", "b-*.h5"};
  expected.data.batch = 32;
  expected.data.horizontal_flip = true;
  expected.train.optimizer = OptimizerKind::kSgd;
  expected.train.weight_decay = 1;
  expected.train.epsilon = 1e-5;
  expected.train = with_own_defaults(expected.train);
  expected.checkpoint.every_steps = 0;
  expected.distributed.overlap = Overlap::kOff;
  expected.output.run_dir = "runs/x";
  EXPECT_EQ(document.configuration, expected);
  ScheduleOptions schedule;
  schedule.preset = "top-down";
  schedule.learning_rate = 0.1;
  EXPECT_EQ(document.schedule, schedule);
  EXPECT_EQ(document.path, "a.toml");
}

TEST(ReadConfiguration, KeepsStagesInTheFilesOrderWithTheirLines) {
  const auto document = parse_configuration(with_required(R"([[schedule.stage]]
zebra = 1
"encoder.*" = 2
apple = 3
[[schedule.stage]]
)"),
                                            "a.toml");
  ASSERT_EQ(document.stages.size(), 2u);
  std::vector<std::string> keys;
  for (const auto& entry : *document.stages[0].table()) keys.push_back(entry.key);
  EXPECT_THAT(keys, ElementsAre("zebra", "encoder.*", "apple"));
  EXPECT_EQ(document.stages[0].table()->at(1).where.line, 5);
  EXPECT_EQ(document.stages[1].where.line, 7);
}

struct BadFile {
  const char* text;     ///< after the two lines of `with_required`
  const char* message;  ///< in full
};

class BadFiles : public testing::TestWithParam<BadFile> {};

TEST_P(BadFiles, SayWhereAndWhat) {
  EXPECT_EQ(message_of(with_required(GetParam().text)), GetParam().message);
}

INSTANTIATE_TEST_SUITE_P(
    Table, BadFiles,
    testing::Values(
        BadFile{"[train]\nbetas = 0.9",
                "a.toml:4: train.betas: unknown key; did you mean "
                "\"beta1\"?"},
        BadFile{"[train]\n\nbathc = 8",
                "a.toml:5: train.bathc: unknown key; did you mean "
                "\"data.batch\"?"},
        BadFile{"[train]\nbatch = 8",
                "a.toml:4: train.batch: unknown key; did you mean "
                "\"data.batch\"?"},
        BadFile{"[train]\nxylophone-tuning = 8", "a.toml:4: train.xylophone-tuning: unknown key"},
        BadFile{"[trian]\nseed = 1", "a.toml:3: [trian]: unknown section; did you mean [train]?"},
        BadFile{"[wholly-other]\nseed = 1",
                "a.toml:3: [wholly-other]: unknown section; there are model, data, task, train, "
                "schedule, checkpoint, distributed, retention, output"},
        BadFile{"batch = 3",
                "a.toml:3: batch: unknown key outside of all sections; did you mean "
                "\"data.batch\"?"},
        BadFile{"train = 3", "a.toml:3: train: expected a section [train], got the integer 3"},
        BadFile{"[data.deeper]\nx = 1", "a.toml:3: data.deeper: unknown key"},
        BadFile{"data.batch = \"64\"",
                "a.toml:3: data.batch: expected an integer, got the string \"64\""},
        BadFile{"data.batch = 64.0",
                "a.toml:3: data.batch: expected an integer, got the number 64.0"},
        BadFile{"data.batch = 0",
                "a.toml:3: data.batch: 0 is out of range: at least 1 and at most 1000000000"},
        BadFile{"train.threads = 1000000",
                "a.toml:3: train.threads: 1000000 is out of range: at least 0 and at most 4096"},
        BadFile{"data.batch = [1]", "a.toml:3: data.batch: expected an integer, got an array"},
        BadFile{"data.batch = {a = 1}", "a.toml:3: data.batch: expected an integer, got a table"},
        BadFile{"data.batch = 2020-01-01",
                "a.toml:3: data.batch: expected an integer, got a date or time"},
        BadFile{"data.horizontal-flip = 1",
                "a.toml:3: data.horizontal-flip: expected true or false, got the integer 1"},
        BadFile{"train.weight-decay = true",
                "a.toml:3: train.weight-decay: expected a number, got the boolean true"},
        BadFile{"train.weight-decay = nan",
                "a.toml:3: train.weight-decay: nan is not a finite number"},
        BadFile{"train.clip-norm = inf", "a.toml:3: train.clip-norm: inf is not a finite number"},
        BadFile{"train.beta1 = 1.0",
                "a.toml:3: train.beta1: 1.0 is out of range: at least 0 and below 1"},
        BadFile{"model.dropout = -0.5",
                "a.toml:3: model.dropout: -0.5 is out of range: at least 0 and below 1"},
        BadFile{"train.epsilon = 0",
                "a.toml:3: train.epsilon: 0.0 is out of range: at least 1e-30 and at most "
                "1000000"},
        BadFile{"train.optimizer = \"adam\"",
                "a.toml:3: train.optimizer: \"adam\" is not one of adamw, sgd, lion; did you mean "
                "\"adamw\"?"},
        BadFile{"schedule.until = 1",
                "a.toml:3: schedule.until: expected a table, as a stage has it, got the integer 1"},
        BadFile{"schedule.stages = 1",
                "a.toml:3: schedule.stages: unknown key; did you mean \"stage\"?"},
        BadFile{"[schedule.stage]\nname = \"head\"",
                "a.toml:3: schedule.stage: stages are written as [[schedule.stage]], once for "
                "each"},
        // The parser's own messages, with line and column.
        BadFile{"[train]\nseed = = 1",
                "a.toml:4:8: Error while parsing value: could not determine value type"},
        BadFile{"mod\u00e9l = 1",
                "a.toml:3:4: Error while parsing key-value pair: expected '=', saw '\u00e9'"},
        BadFile{"[train]\nseed = 1\nseed = 2",
                "a.toml:5:8: Error while parsing key-value pair: cannot redefine existing integer "
                "'seed'"}));

TEST(ReadConfiguration, ListsAllProblemsInTheFilesOrderAndFlagsLast) {
  EXPECT_EQ(message_of("[train]\nseeed = 1\nprecision = 3\n[data]\nbatch = -1\nfile = []\n",
                       {{"train.beta2", "7"}}),
            "a.toml: model.architecture: missing; the configuration must say it (bert | roberta | "
            "distilbert | modernbert | resnet | resnet-cifar | llama | gpt2 | vit | "
            "efficientnet-lite0 | convnext)\n"
            "a.toml:2: train.seeed: unknown key; did you mean \"seed\"?\n"
            "a.toml:3: train.precision: expected a string, got the integer 3\n"
            "a.toml:5: data.batch: -1 is out of range: at least 1 and at most 1000000000\n"
            "a.toml:6: data.file: must not be empty\n"
            "command line: --train.beta2: 7.0 is out of range: at least 0 and below 1");
}

TEST(ReadConfiguration, ShowsEachProblemOnALineOfItsOwnWhateverTheFileHolds) {
  const std::string message =
      message_of(with_required("train.\"a\\nthaw: all is lost\\u001b[2J\" = 1\n"));
  EXPECT_THAT(message, HasSubstr("a\\x0athaw: all is lost\\x1b[2J"));
  EXPECT_EQ(message.find('\n'), std::string::npos);
}

TEST(ReadConfiguration, LeavesTheArchitectureToAConfigJson) {
  EXPECT_EQ(message_of("model.config = \"config.json\"\ndata.file = \"a.h5\"\n"), "no error");
}

TEST(ReadConfiguration, RefusesEmptyRequiredOptions) {
  EXPECT_EQ(message_of("model.architecture = \"\"\ndata.file = [\"a.h5\", \"\"]\n"),
            "a.toml:1: model.architecture: must not be empty\n"
            "a.toml:2: data.file: must not be empty");
}

TEST(ReadConfiguration, TakesAListOfStringsAsAString) {
  EXPECT_THAT(parse_configuration(with_required(""), "a.toml").configuration.data.file,
              ElementsAre("a.h5"));
  EXPECT_EQ(message_of("model.architecture = \"bert\"\ndata.file = [\"a.h5\", 3]\n"),
            "a.toml:2: data.file: expected a string or an array of strings, got an array");
}

TEST(Flags, AreLaidOverTheFile) {
  const auto document =
      parse_configuration(with_required("data.batch = 8\ntrain.weight-decay = 0.5\n"), "a.toml",
                          {{"data.batch", "16"},
                           {"train.weight-decay", "1e-3"},
                           {"data.horizontal-flip", "true"},
                           {"train.optimizer", "sgd"},
                           {"schedule.preset", "full"},
                           {"schedule.stage.head.learning-rate", "0.5"},
                           {"train.seed", "1"},
                           {"train.seed", "-2"}});
  EXPECT_EQ(document.configuration.data.batch, 16);
  EXPECT_EQ(document.configuration.train.weight_decay, 1e-3);
  EXPECT_TRUE(document.configuration.data.horizontal_flip);
  EXPECT_EQ(document.configuration.train.optimizer, OptimizerKind::kSgd);
  EXPECT_EQ(document.configuration.train.seed, -2) << "the last flag counts";
  EXPECT_EQ(document.schedule.preset, "full");
  EXPECT_THAT(document.stage_overrides,
              ElementsAre(Override{"schedule.stage.head.learning-rate", "0.5"}));
}

TEST(Flags, SeveralFilesAreSeparatedByCommasOrRepeated) {
  const auto document = parse_configuration(with_required(""), "a.toml",
                                            {{"data.file", "x.h5,y.h5"}, {"data.file", "z*.h5"}});
  EXPECT_THAT(document.configuration.data.file, ElementsAre("x.h5", "y.h5", "z*.h5"));
}

TEST(Flags, GiveWhatTheFileLacks) {
  const auto document =
      parse_configuration("", "a.toml", {{"model.architecture", "bert"}, {"data.file", "a.h5"}});
  EXPECT_EQ(document.configuration.model.architecture, "bert");
}

struct BadFlag {
  Override flag;
  const char* message;
};

class BadFlags : public testing::TestWithParam<BadFlag> {};

TEST_P(BadFlags, AreNamedAsSuch) {
  EXPECT_EQ(message_of(with_required(""), {GetParam().flag}), GetParam().message);
}

INSTANTIATE_TEST_SUITE_P(
    Table, BadFlags,
    testing::Values(
        BadFlag{{"data.batch", "many"},
                "command line: --data.batch: expected an integer, got \"many\""},
        BadFlag{{"data.batch", "8 "},
                "command line: --data.batch: expected an integer, got "
                "\"8 \""},
        BadFlag{{"data.batch", ""}, "command line: --data.batch: expected an integer, got \"\""},
        BadFlag{{"data.batch", "99999999999999999999"},
                "command line: --data.batch: expected an integer, got \"99999999999999999999\""},
        BadFlag{{"train.weight-decay", "nan"},
                "command line: --train.weight-decay: nan is not a finite number"},
        BadFlag{{"data.horizontal-flip", "yes"},
                "command line: --data.horizontal-flip: expected true or false, got \"yes\""},
        BadFlag{{"train.bach", "3"},
                "command line: --train.bach: unknown option; did you mean "
                "--data.batch?"},
        BadFlag{{"trian.seed", "3"},
                "command line: --trian.seed: unknown option; did you mean --train.seed?"},
        BadFlag{{"schedule.stage", "3"}, "command line: --schedule.stage: unknown option"}));

TEST(Where, PointsAtTheLineTheFlagOrTheFile) {
  const auto document =
      parse_configuration(with_required("model.depth = 20\n"), "a.toml", {{"model.head", "new"}});
  EXPECT_EQ(document.where("model.depth"), "a.toml:3: model.depth");
  EXPECT_EQ(document.where("model.head"), "command line: --model.head");
  EXPECT_EQ(document.where("model.config"), "a.toml: model.config");
}

TEST(Where, IsPutBeforeMessagesThatNameAnOption) {
  const auto document = parse_configuration(with_required("model.depth = 21\n"), "a.toml");
  EXPECT_EQ(document.located("model.depth: there is none of 21"),
            "a.toml:3: model.depth: there is none of 21");
  EXPECT_EQ(document.located("model.architecture = \"bert\" takes text"),
            "a.toml:1: model.architecture = \"bert\" takes text");
  EXPECT_EQ(document.located("model.depht: x"), "model.depht: x");
  EXPECT_EQ(document.located("a.h5: no labels"), "a.h5: no labels");
  EXPECT_EQ(document.located(""), "");
}

TEST(ReadFile, SaysWhyItCannot) {
  const auto message = [](const std::string& path) -> std::string {
    try {
      read_configuration(path);
    } catch (const InputError& error) {
      return error.what();
    }
    return "no error";
  };
  const std::filesystem::path folder = testing::TempDir();
  EXPECT_EQ(message((folder / "absent.toml").string()),
            (folder / "absent.toml").string() + ": cannot be read: No such file or directory");
  EXPECT_THAT(message(folder.string()), HasSubstr("cannot be read: Is a directory"));

  const std::string path = (folder / "configuration_document_test.toml").string();
  std::ofstream(path) << with_required("train.sed = 1\n");
  EXPECT_EQ(message(path), path + ":3: train.sed: unknown key; did you mean \"seed\"?");
  std::ofstream(path) << with_required("train.seed = 7\n");
  EXPECT_EQ(read_configuration(path).configuration.train.seed, 7);
  std::ofstream(path) << std::string((16 << 20) + 1, '\n');
  EXPECT_THAT(message(path), HasSubstr("it is larger than 16 MiB"));
  std::filesystem::remove(path);
}

}  // namespace
}  // namespace thaw
