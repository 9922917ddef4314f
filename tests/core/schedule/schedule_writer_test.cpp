#include "core/schedule/toml/schedule_writer.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <random>

#include "core/config/toml_text.h"
#include "core/schedule/curves/curve.h"
#include "core/schedule/stage_options.h"
#include "tests/core/schedule/schedule_fixture.h"

namespace thaw {
namespace {

const char kRequired[] = "model.architecture = \"bert\"\ndata.file = \"a.h5\"\n";

Schedule read_back(const std::string& stages, const std::vector<std::string>& groups = kBert) {
  return resolve_schedule(parse_configuration(kRequired + stages, "b.toml"), groups, 1000,
                          /*has_validation=*/true, kMetrics);
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
using Kind = EndCondition::Kind;

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
    stage.until = condition(2, stage);
    draw_transition(stage);
    for (const Option* option : stage_options()) {
      if (between(0, 2) != 0) continue;
      const auto& words = option->choices;
      if (words.empty()) {
        stage.overrides[option->key] = rate() + 1e-12;
      } else {
        stage.overrides[option->key] = words[static_cast<std::size_t>(between(0, 1))];
      }
    }
    return stage;
  }

  void draw_transition(Stage& stage) {
    stage.thawed_warmup_steps = between(0, 1) * between(1, 50);
    stage.thawed_rate_cap = between(0, 1) * rate();
    stage.optimizer_state = static_cast<OptimizerCarry>(between(0, 2));
    if (between(0, 3) == 0) {
      stage.restore_best = {.metric = "validation/macro-f1", .mode = MetricRule::Mode::kMax};
    } else if (stage.groups.size() > 3 && needs_of(stage.until).gradients.empty()) {
      const std::string always = "always = [" + toml_text(stage.groups.front()) + "]";
      stage.policy = policy_of(
          between(0, 1) == 1
              ? fmt::format("{{ kind = \"random\", every-steps = {}, groups = {}, seed = {}, {} }}",
                            between(1, 100), between(1, 3), between(-5, 5), always)
              : fmt::format("{{ kind = \"auto-freeze\", every-steps = {}, percentile = {}, {} }}",
                            between(1, 100), between(0, 100), always),
          stage.groups);
    }
  }

  Curve curve() {
    Curve curve;
    const CurveShape& shape = curve_shapes().at(between(0, 5));
    curve.shape = shape.name;
    curve.steps = between(1000, 2000);
    if (between(0, 1) == 1) curve.warmup_fraction = rate() * 100;
    for (const CurveParameter& each : shape.parameters) {
      const double drawn = each.whole ? between(0, 9) : each.standard < 1 ? rate() : -rate();
      curve.parameters[each.key] = each.standard + drawn;
    }
    return curve;
  }

  EndCondition condition(int depth, const Stage& stage) {
    const int kind = between(0, depth == 0 ? 7 : 9);
    if (kind > 7) {
      std::vector<EndCondition> conditions;
      for (int i = between(1, 3); i > 0; --i) conditions.push_back(condition(depth - 1, stage));
      return kind == 8 ? any(conditions) : all(conditions);
    }
    return until_of("{ " + trigger(kind, stage) + " }", stage.groups, stage.curve);
  }

  std::string trigger(int kind, const Stage& stage) {
    switch (kind) {
      case 0:
        return fmt::format("epochs = {}", 1 + rate());
      case 1:
        return fmt::format("seconds = {}", 1 + rate());
      case 2:
        return fmt::format("steps = {}", between(20, 1000));
      case 3:
        return "curve-finished = true";
      case 4:
        return fmt::format("plateau = {{ mode = \"{}\", patience = {}, least-change = {} }}",
                           between(0, 1) == 1 ? "min" : "max", between(1, 9), rate());
      case 5:
        return fmt::format("threshold = {{ metric = \"validation/accuracy\", value = {} }}",
                           rate());
      case 6:
        return fmt::format("samples = {}", between(20000, 100000));
      default:
        return fmt::format(
            "gradient-signal = {{ group = {}, every-steps = {}, patience = {}, least-change = {} "
            "}}",
            toml_text(stage.groups.front()), between(1, 9), between(1, 9), rate() + 1e-9);
    }
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
  EXPECT_EQ(schedule.stages.at(4).overrides.at("beta1"), OptionValue(0.8));
  const std::string text = write_configuration_toml(document.configuration, schedule);
  const auto again = parse_configuration(text, "config.resolved.toml");
  EXPECT_EQ(again.configuration, document.configuration);
  EXPECT_EQ(again.schedule, ScheduleOptions{}) << "stages are explicit";
  EXPECT_EQ(resolve_schedule(again, kBert, 1000), schedule);
  EXPECT_EQ(write_configuration_toml(again.configuration, schedule), text);
}

}  // namespace
}  // namespace thaw
