#include "core/schedule/schedule_writer.h"

#include <gtest/gtest.h>

#include <random>

#include "tests/core/schedule/schedule_fixture.h"

namespace thaw {
namespace {

const char kRequired[] = "model.architecture = \"bert\"\ndata.file = \"a.h5\"\n";

Schedule read_back(const std::string& stages, const std::vector<std::string>& groups = kBert) {
  return resolve_schedule(parse_configuration(kRequired + stages, "b.toml"), groups, 1000);
}

TEST(ScheduleWriter, WritesWhatAPersonWouldWrite) {
  const Schedule schedule = schedule_of(R"(
[schedule]
preset = "top-down"
groups-per-stage = 6
embeddings = "never"
learning-rate = 1e-5
head-learning-rate = 1e-3
curve = "cosine"
warmup-steps = 5
)");
  EXPECT_EQ(write_schedule_toml(schedule), R"([[schedule.stage]]
name = "head"
groups = ["head"]
learning-rate = 0.001
curve = { shape = "cosine", warmup-steps = 5, final-factor = 0.0 }
until = { epochs = 1 }

[[schedule.stage]]
name = "encoder.0"
groups = ["encoder.0", "encoder.1", "encoder.2", "encoder.3", "encoder.4", "encoder.5", "head"]
learning-rate = { "encoder.0" = 1e-05, "encoder.1" = 1e-05, "encoder.2" = 1e-05, "encoder.3" = 1e-05, "encoder.4" = 1e-05, "encoder.5" = 1e-05, head = 0.001 }
curve = { shape = "cosine", warmup-steps = 5, final-factor = 0.0 }
until = { epochs = 1 }
)");
  EXPECT_EQ(read_back(write_schedule_toml(schedule)), schedule);
}

TEST(ScheduleWriter, EveryPresetReadsBackIdentical) {
  for (const char* preset : {"full", "head-only", "top-down", "bottom-up"}) {
    for (const char* options :
         {"", "discriminative = 2.6\ntotal-epochs = 3.7", "groups-per-stage = 4\nstage-steps = 7",
          "curve = \"slanted-triangular\"\nwarmup-fraction = 0.3",
          "curve = \"linear\"\nfinal-factor = 0.1\nembeddings = \"last\"\nhead = \"last\""}) {
      const Schedule schedule = schedule_of("[schedule]\npreset = \"" + std::string(preset) +
                                            "\"\nlearning-rate = 1e-4\n" + options);
      EXPECT_EQ(read_back(write_schedule_toml(schedule)), schedule) << preset << '\n' << options;
    }
  }
}

/// Draws schedules that a file could describe.
class Drawer {
 public:
  explicit Drawer(unsigned seed) : random_(seed) {}

  Schedule schedule() {
    Schedule result;
    const int count = between(1, 5);
    for (int i = 0; i < count; ++i) result.stages.push_back(stage(i));
    return result;
  }

 private:
  int between(int low, int high) { return std::uniform_int_distribution<int>(low, high)(random_); }
  double rate() { return std::uniform_real_distribution<double>(0, 1)(random_) * 1e-3; }

  Stage stage(int index) {
    Stage stage;
    stage.name = "stage \"" + std::to_string(index) + "\"";
    const bool equal_rates = between(0, 1) == 1;
    const double shared = rate();
    for (const std::string& group : kBert) {
      if (between(0, 1) == 0 && !(stage.groups.empty() && group == "head")) continue;
      stage.groups.push_back(group);
      stage.learning_rates.push_back(equal_rates ? shared : rate());
    }
    stage.curve = curve();
    stage.until = condition(2);
    for (auto member : {&StageOverrides::weight_decay, &StageOverrides::beta1,
                        &StageOverrides::beta2, &StageOverrides::epsilon, &StageOverrides::momentum,
                        &StageOverrides::clip_norm, &StageOverrides::label_smoothing}) {
      if (between(0, 2) == 0) stage.overrides.*member = rate() + 1e-12;
    }
    return stage;
  }

  Curve curve() {
    Curve curve;
    curve.shape = static_cast<Curve::Shape>(between(0, 3));
    curve.steps = between(0, 1) * between(1000, 2000);
    if (between(0, 1) == 1) curve.warmup_fraction = rate() * 100;
    const bool falls = curve.shape == Curve::Shape::kLinear || curve.shape == Curve::Shape::kCosine;
    if (falls) curve.final_factor = rate();
    if (curve.shape == Curve::Shape::kSlantedTriangular) {
      curve.cut_fraction = rate() + 1e-9;
      curve.ratio = 1 + rate();
    }
    return curve;
  }

  EndCondition condition(int depth) {
    EndCondition condition;
    condition.kind = static_cast<EndCondition::Kind>(between(0, depth > 0 ? 3 : 1));
    if (condition.kind == EndCondition::Kind::kEpochs) condition.amount = 1 + rate();
    if (condition.kind == EndCondition::Kind::kSteps) condition.amount = between(20, 1000);
    if (condition.kind > EndCondition::Kind::kSteps) {
      const int count = between(1, 3);
      for (int i = 0; i < count; ++i) condition.conditions.push_back(this->condition(depth - 1));
    }
    return condition;
  }

  std::mt19937 random_;
};

TEST(ScheduleWriter, DrawnSchedulesReadBackIdentical) {
  for (unsigned seed = 0; seed < 300; ++seed) {
    const Schedule schedule = Drawer(seed).schedule();
    const std::string text = write_schedule_toml(schedule);
    ASSERT_EQ(read_back(text), schedule) << text;
    ASSERT_EQ(write_schedule_toml(read_back(text)), text);
  }
}

TEST(ConfigurationWriter, ReadsBackToTheSameRun) {
  const auto document = parse_configuration(R"(
[model]
architecture = "bert"
weights = "C:\\odd \"path\""
dropout = 0.1
[data]
file = ["a.h5", "b.h5"]
seed = -3
[train]
weight-decay = 1e-5
[schedule]
preset = "bottom-up"
learning-rate = 3e-4
discriminative = 2.6
)",
                                            "a.toml", {{"schedule.stage.encoder.3.beta1", "0.8"}});
  const Schedule schedule = resolve_schedule(document, kBert, 1000);
  EXPECT_EQ(schedule.stages.at(4).overrides.beta1, 0.8);
  const std::string text = write_configuration_toml(document.configuration, schedule);
  const auto again = parse_configuration(text, "config.resolved.toml");
  EXPECT_EQ(again.configuration, document.configuration);
  EXPECT_EQ(again.schedule, ScheduleOptions{}) << "stages are explicit";
  EXPECT_EQ(resolve_schedule(again, kBert, 1000), schedule);
  EXPECT_EQ(write_configuration_toml(again.configuration, schedule), text);
}

}  // namespace
}  // namespace thaw
