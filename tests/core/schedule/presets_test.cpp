#include <gmock/gmock.h>

#include "core/schedule/presets/preset.h"
#include "tests/core/schedule/schedule_fixture.h"

namespace thaw {
namespace {

using testing::ElementsAre;
using testing::Pair;

std::string preset(const std::string& name, const std::string& options = "") {
  return "[schedule]\npreset = \"" + name + "\"\nlearning-rate = 0.5\n" + options;
}

std::vector<double> lengths(const Schedule& schedule, const std::string& unit) {
  std::vector<double> result;
  for (const Stage& stage : schedule.stages) {
    EXPECT_EQ(stage.until.trigger->name(), unit);
    result.push_back(length_of(stage));
  }
  return result;
}

TEST(Presets, Full) {
  EXPECT_THAT(outline(schedule_of(preset("full"), kResNet)),
              ElementsAre("full: stem layer1 layer2 layer3 layer4 head"));
  EXPECT_THAT(outline(schedule_of(preset("full", "embeddings = \"never\""), kResNet)),
              ElementsAre("full: layer1 layer2 layer3 layer4 head"));
  EXPECT_THAT(outline(schedule_of(preset("full"), {"head"})), ElementsAre("full: head"));
}

TEST(Presets, HeadOnly) {
  EXPECT_THAT(outline(schedule_of(preset("head-only"))), ElementsAre("head: head"));
}

TEST(Presets, TopDown) {
  EXPECT_THAT(
      outline(schedule_of(preset("top-down"), kResNet)),
      ElementsAre("head: head", "layer4: layer4 head", "layer3: layer3 layer4 head",
                  "layer2: layer2 layer3 layer4 head", "layer1: layer1 layer2 layer3 layer4 head",
                  "stem: stem layer1 layer2 layer3 layer4 head"));
  EXPECT_THAT(
      outline(schedule_of(preset("top-down", "groups-per-stage = 4\nembeddings = \"never\""))),
      ElementsAre("head: head", "encoder.2: encoder.2 encoder.3 encoder.4 encoder.5 head",
                  "encoder.0: encoder.0 encoder.1 encoder.2 encoder.3 encoder.4 encoder.5 head"));
  EXPECT_THAT(outline(schedule_of(preset("top-down",
                                         "groups-per-stage = 9\n"
                                         "embeddings = \"first\""),
                                  kResNet)),
              ElementsAre("head: stem head", "layer1: stem layer1 layer2 layer3 layer4 head"));
}

TEST(Presets, BottomUp) {
  EXPECT_THAT(outline(schedule_of(preset("bottom-up", "groups-per-stage = 3"))),
              ElementsAre("embeddings: embeddings head",
                          "encoder.2: embeddings encoder.0 encoder.1 encoder.2 head",
                          "encoder.5: embeddings encoder.0 encoder.1 encoder.2 encoder.3 "
                          "encoder.4 encoder.5 head"));
  EXPECT_THAT(
      outline(schedule_of(preset("bottom-up",
                                 "embeddings = \"last\"\n"
                                 "groups-per-stage = 3"),
                          kResNet)),
      ElementsAre("layer3: layer1 layer2 layer3 head", "layer4: layer1 layer2 layer3 layer4 head",
                  "stem: stem layer1 layer2 layer3 layer4 head"));
  EXPECT_THAT(outline(schedule_of(preset("bottom-up",
                                         "embeddings = \"never\"\nhead = \"last\"\n"
                                         "groups-per-stage = 2"),
                                  kResNet)),
              ElementsAre("layer2: layer1 layer2", "layer4: layer1 layer2 layer3 layer4",
                          "head: layer1 layer2 layer3 layer4 head"));
}

TEST(Presets, SmallAndForeignModels) {
  for (const char* name : {"top-down", "bottom-up", "head-only"}) {
    EXPECT_THAT(outline(schedule_of(preset(name), {"classifier"})),
                ElementsAre("classifier: classifier"))
        << name;
  }
  EXPECT_THAT(outline(schedule_of(preset("bottom-up"), {"embeddings", "head"})),
              ElementsAre("embeddings: embeddings head"));
  EXPECT_THAT(outline(schedule_of(preset("bottom-up"), {"first", "second", "out"})),
              ElementsAre("first: first out", "second: first second out"))
      << "a first group of another name is a layer";
}

TEST(Presets, Lengths) {
  const auto epochs = [](const std::string& options) {
    return lengths(schedule_of(preset("top-down", "groups-per-stage = 2\n" + options)), "epochs");
  };
  const auto steps = [](const std::string& options) {
    return lengths(schedule_of(preset("top-down", "groups-per-stage = 2\n" + options)), "steps");
  };
  EXPECT_THAT(epochs(""), ElementsAre(1, 1, 1, 1, 1));
  EXPECT_THAT(epochs("stage-epochs = 0.5"), ElementsAre(0.5, 0.5, 0.5, 0.5, 0.5));
  EXPECT_THAT(epochs("stage-epochs = 2\ntotal-epochs = 12"), ElementsAre(2, 2, 2, 2, 4));
  EXPECT_THAT(epochs("total-epochs = 12"), ElementsAre(2, 2, 2, 3, 3));
  EXPECT_THAT(epochs("total-epochs = 10"), ElementsAre(2, 2, 2, 2, 2));
  EXPECT_THAT(epochs("total-epochs = 3"), ElementsAre(0.6, 0.6, 0.6, 0.6, 0.6));
  EXPECT_THAT(epochs("total-epochs = 7.5"), ElementsAre(1.5, 1.5, 1.5, 1.5, 1.5));
  EXPECT_THAT(steps("stage-steps = 7"), ElementsAre(7, 7, 7, 7, 7));
  EXPECT_THAT(steps("stage-steps = 7\ntotal-steps = 30"), ElementsAre(7, 7, 7, 7, 2));
  EXPECT_THAT(steps("total-steps = 33"), ElementsAre(6, 6, 7, 7, 7));
}

TEST(Presets, Rates) {
  const auto rates = [](const std::string& options) {
    return schedule_of(preset("full", options), {"stem", "a", "b", "head"})
        .stages[0]
        .learning_rates;
  };
  EXPECT_THAT(rates(""), ElementsAre(0.5, 0.5, 0.5, 0.5));
  EXPECT_THAT(rates("head-learning-rate = 8"), ElementsAre(0.5, 0.5, 0.5, 8));
  EXPECT_THAT(rates("discriminative = 2"), ElementsAre(0.0625, 0.125, 0.25, 0.5));
  EXPECT_THAT(rates("discriminative = 2\nhead-learning-rate = 8"),
              ElementsAre(0.125, 0.25, 0.5, 8));
  // A group's rate does not depend on which others are active.
  const auto stages =
      schedule_of(preset("bottom-up", "discriminative = 2"), {"stem", "a", "b", "head"}).stages;
  EXPECT_THAT(stages[0].learning_rates, ElementsAre(0.0625, 0.5));
}

TEST(Presets, Curves) {
  const auto curve = [](const std::string& options) {
    return schedule_of(preset("full", options)).stages[0].curve;
  };
  EXPECT_EQ(curve(""), Curve{});
  EXPECT_EQ(curve("curve = \"cosine\"\nwarmup-steps = 3\nfinal-factor = 0.5"),
            (Curve{.shape = "cosine", .parameters = {{"final-factor", 0.5}}, .warmup_steps = 3}));
  EXPECT_EQ(curve("curve = \"slanted-triangular\"\ncut-fraction = 0.25\nratio = 16\n"
                  "warmup-fraction = 0.5"),
            (Curve{.shape = "slanted-triangular",
                   .parameters = {{"cut-fraction", 0.25}, {"ratio", 16}},
                   .warmup_fraction = 0.5}));
  EXPECT_EQ(curve("final-factor = 0.5"), Curve{}) << "left aside: constant has none";
}

TEST(Presets, StageFlagsReachTheirStages) {
  const auto stages = schedule_of(preset("top-down"), kBert,
                                  {{"schedule.stage.head.learning-rate", "0.125"},
                                   {"schedule.stage.encoder.4.until.steps", "3"}})
                          .stages;
  EXPECT_THAT(stages[0].learning_rates, ElementsAre(0.125));
  EXPECT_EQ(stages[2].until, after_steps(3));
}

TEST(Presets, RefuseUnknownWords) {
  const auto message = [](const std::string& option) {
    return message_of_schedule("schedule.learning-rate = 1\n" + option);
  };
  EXPECT_EQ(message("schedule.preset = \"sideways\""),
            "a.toml:4: schedule.preset: \"sideways\" is not one of full, head-only, top-down, "
            "bottom-up, chain-thaw, head-then-all, freeze-out, random, auto-freeze, auto-rgn, "
            "gradient-guided");
  EXPECT_EQ(message("schedule.preset = \"full\"\nschedule.curve = \"cosin\"\n"
                    "schedule.restore-best = \"train/loss\""),
            "a.toml:5: schedule.curve: \"cosin\" is not one of constant, linear, cosine, "
            "slanted-triangular, polynomial, cosine-restarts; did you mean \"cosine\"?\n"
            "a.toml:6: schedule.restore-best: \"train/loss\" is not one of validation/loss, "
            "validation/accuracy, validation/macro-f1");
}

TEST(Presets, RefuseContradictions) {
  const auto message = [](const std::string& options) {
    return message_of_schedule(preset("top-down", options));
  };
  EXPECT_EQ(message_of_schedule("schedule.preset = \"full\""),
            "a.toml:3: schedule.learning-rate: a preset needs a rate above 0");
  EXPECT_EQ(message("stage-epochs = 1\nstage-steps = 3"),
            "a.toml:7: schedule.stage-steps: cannot stand beside stage-epochs; set one of them to "
            "0");
  EXPECT_EQ(message("stage-epochs = 1\ntotal-steps = 3"),
            "a.toml:7: schedule.total-steps: cannot stand beside stage-epochs; set one of them to "
            "0");
  EXPECT_EQ(message("stage-epochs = 1\ntotal-epochs = 7"),
            "a.toml:7: schedule.total-epochs: 7 epochs leave nothing to the last of 8 stages of "
            "1");
  EXPECT_EQ(message("total-steps = 7"),
            "a.toml:6: schedule.total-steps: 7 steps are too few for 8 stages");
  EXPECT_EQ(message("curve = \"cosine\"\nwarmup-steps = 10"),
            "a.toml:4: schedule.stage[0].curve: a warm-up of 10 steps leaves nothing of 10 steps\n"
            "a.toml:4: schedule.stage[1].curve: a warm-up of 10 steps leaves nothing of 10 steps\n"
            "a.toml:4: schedule.stage[2].curve: a warm-up of 10 steps leaves nothing of 10 steps\n"
            "a.toml:4: schedule.stage[3].curve: a warm-up of 10 steps leaves nothing of 10 steps\n"
            "a.toml:4: schedule.stage[4].curve: a warm-up of 10 steps leaves nothing of 10 steps\n"
            "a.toml:4: schedule.stage[5].curve: a warm-up of 10 steps leaves nothing of 10 steps\n"
            "a.toml:4: schedule.stage[6].curve: a warm-up of 10 steps leaves nothing of 10 steps\n"
            "a.toml:4: schedule.stage[7].curve: a warm-up of 10 steps leaves nothing of 10 "
            "steps");
}

}  // namespace
}  // namespace thaw
