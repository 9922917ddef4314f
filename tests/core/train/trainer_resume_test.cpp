// Training that stops after any step and goes on is the training that never stopped.
#include <ATen/ops/equal.h>
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <optional>

#include "core/base/error.h"
#include "core/checkpoint/reader.h"
#include "core/checkpoint/saver.h"
#include "core/parallel/one_rank.h"
#include "core/parallel/stage_coordinator.h"
#include "core/schedule/resolve_schedule.h"
#include "core/step/optimizer.h"
#include "core/step/stop_request.h"
#include "core/train/trainer.h"
#include "core/train/training_state.h"
#include "tests/core/train/tiny_model.h"
#include "tests/support/training.h"

namespace thaw {
namespace {

/// Wants a stop in the step after so many.
class StopAfter : public StopRequest {
 public:
  explicit StopAfter(std::int64_t steps) : left_(steps) {}
  StopReason wanted(double) override {
    return left_-- == 1 ? StopReason::kSignal : StopReason::kNone;
  }

 private:
  std::int64_t left_;
};

Stage stage(const std::string& name, std::vector<std::string> groups, double epochs) {
  Stage result = make_stage(name, std::move(groups), after_epochs(epochs));
  result.curve.shape = "linear";
  return result;
}

class ResumeTest : public testing::Test {
 protected:
  ResumeTest() : dataset_(prepared_dataset(write_tiny_dataset(folder_, 37, 10))) {
    training_.data.batch = 8;
    train_.clip_norm = 1;
    schedule_.stages = {stage("top", {"head"}, 1), stage("all", {"stem", "middle", "head"}, 1.2)};
  }

  /// One process's life: goes on from the newest checkpoint of `run`, where there is one, and stops
  /// after `steps` steps, if not 0. Returns the weights at its end.
  Weights live(const std::string& run, std::int64_t steps, Recorder& recorder,
               std::int64_t every_steps = 0) {
    TinyModel model(0.2);
    const auto alone = make_self_communicator();
    const auto coordinator = make_local_coordinator();
    CheckpointSaver saver(CheckpointStore(folder_ / run), *alone, {.keep = {.newest = 100}});
    std::vector<RejectedCheckpoint> rejected;
    const auto newest = open_newest(saver.store(), *alone, rejected);
    TrainingState state;
    if (newest) state = training_state_from_json(newest->state(), "state");
    StopAfter stop(steps);
    training_.checkpoints = {.saver = &saver,
                             .every_steps = every_steps,
                             .facts = {.version = "test"},
                             .stop = steps > 0 ? &stop : nullptr,
                             .resume = newest.get(),
                             .state = &state};
    EXPECT_EQ(training_.run(model, dataset_, recorder, *alone, *coordinator).stopped, steps > 0);
    return weights_of(model);
  }

  TemporaryFolder folder_;
  Dataset dataset_;
  Training training_;
  TrainOptions& train_ = training_.train;
  Schedule& schedule_ = training_.schedule;
};

TEST_F(ResumeTest, StoppedAfterAnyStepItComesToTheSameBits) {
  Recorder whole;
  const Weights weights = live("whole", 0, whole);
  ASSERT_EQ(whole.lines.size(), 2U + 11 + 3 + 1);  // 5 + 6 steps; the middle of an epoch at the end
  for (std::int64_t k = 1; k <= 11; ++k) {
    Recorder parts;
    const std::string run = fmt::format("stopped-{}", k);
    live(run, k, parts);
    ASSERT_EQ(parts.checkpoints.back().step, k);
    std::optional<double> evaluated;
    if (!parts.evaluations.empty()) evaluated = parts.evaluations.back().loss;
    expect_same_bits(live(run, 0, parts), weights, fmt::format("stopped after step {}", k));
    EXPECT_EQ(parts.lines, whole.lines) << k;
    ASSERT_EQ(parts.resumes.size(), 1U);
    EXPECT_EQ(parts.resumes[0].step, k);
    EXPECT_EQ(parts.resumes[0].validation_loss, evaluated) << k;
  }
}

TEST_F(ResumeTest, WithTriggersPoliciesAndBestWeights) {
  const char kStages[] = R"(
[data]
batch = 8

[[schedule.stage]]
name = "best"
groups = ["middle", "head"]
learning-rate = 0.3
curve = { shape = "cosine", steps = 16 }
until = { plateau = { metric = "train/loss", patience = 2 }, at-least = { steps = 4 }, at-most = { steps = 8 } }
restore-best = "validation/loss"

[[schedule.stage]]
name = "drawn"
groups = ["*"]
learning-rate = 0.05
curve = "continued"
until = { steps = 7 }
policy = { kind = "random", groups = 1, every-steps = 2, always = ["head"] }
optimizer-state = "keep-staying"
thawed-warmup-steps = 3

[[schedule.stage]]
name = "freezing"
groups = ["*"]
learning-rate = 0.05
until = { steps = 6 }
policy = { kind = "auto-freeze", every-steps = 2, always = [] }
thawed-rate-cap = 0.02

[[schedule.stage]]
name = "scaled"
groups = ["*"]
learning-rate = 0.05
until = { steps = 6 }
policy = { kind = "auto-rgn", every-steps = 3, probe-steps = 2 }

[[schedule.stage]]
name = "guided"
groups = ["*"]
learning-rate = 0.05
until = { steps = 5 }
policy = { kind = "gradient-guided", groups = 1, every-steps = 2, always = ["head"] }
)";
  schedule_ = resolve_schedule(parse_partial_configuration(kStages, "a.toml"),
                               {"stem", "middle", "head"}, 37);
  train_.evaluate_every = 2;
  Recorder whole;
  const Weights weights = live("whole", 0, whole);
  const auto steps = std::count_if(
      whole.lines.begin(), whole.lines.end(),
      [](const std::string& line) { return line.find(" step ") != std::string::npos; });
  ASSERT_GT(steps, 16);
  for (std::int64_t k = 1; k <= steps; ++k) {
    Recorder parts;
    const std::string run = fmt::format("stopped-{}", k);
    live(run, k, parts);
    expect_same_bits(live(run, 0, parts), weights, fmt::format("stopped after step {}", k));
    EXPECT_EQ(parts.lines, whole.lines) << k;
  }
}

TEST_F(ResumeTest, StoppedAgainAndAgain) {
  train_.evaluate_every = 2;
  train_.optimizer = OptimizerKind::kSgd;
  Recorder whole;
  const Weights weights = live("whole", 0, whole);
  Recorder parts;
  for (int i = 0; i < 5; ++i) live("parts", 2, parts);
  expect_same_bits(live("parts", 0, parts), weights, "");
  EXPECT_EQ(parts.lines, whole.lines);
}

TEST_F(ResumeTest, WithEachOptimizer) {
  for (std::size_t kind = 0; kind < kOptimizerNames.size(); ++kind) {
    const std::string name(kOptimizerNames[kind]);
    train_.optimizer = static_cast<OptimizerKind>(kind);
    Recorder whole, parts;
    const Weights weights = live(name, 0, whole);
    for (int i = 0; i < 3; ++i) live(name + "-parts", 3, parts);
    expect_same_bits(live(name + "-parts", 0, parts), weights, name);
    EXPECT_EQ(parts.lines, whole.lines) << name;
  }
}

/// One of a program's own, which keeps a tensor and a number of its own naming.
class SlowSigns final : public Optimizer {
 public:
  explicit SlowSigns(const TrainOptions& options)
      : Optimizer({"seen"}), momentum_(options.momentum) {}

 private:
  void update(Update& now) override {
    for (std::size_t i = 0; i < now.parameters.size(); ++i) {
      at::Tensor& seen = now.slots[0][i];
      seen.mul_(momentum_).add_(now.gradients[i]);
      now.parameters[i].mul_(1 - now.learning_rate * now.weight_decay);
      now.parameters[i].sub_(seen.sign().div_(now.steps[i]), now.learning_rate);
    }
  }

  double momentum_;
};

TEST_F(ResumeTest, WithAnOptimizerOfOnesOwn) {
  Recorder ours;
  const Weights by_adamw = live("ours", 0, ours);
  training_.optimizer = [](const TrainOptions& options) {
    return std::make_unique<SlowSigns>(options);
  };
  Recorder whole, parts;
  const Weights weights = live("own", 0, whole);
  EXPECT_FALSE(at::equal(weights.at("head.weight"), by_adamw.at("head.weight")));
  for (int i = 0; i < 3; ++i) live("own-parts", 3, parts);
  expect_same_bits(live("own-parts", 0, parts), weights, "");
  EXPECT_EQ(parts.lines, whole.lines);
  const auto alone = make_self_communicator();
  std::vector<RejectedCheckpoint> rejected;
  const auto newest = open_newest(CheckpointStore(folder_ / "own"), *alone, rejected);
  EXPECT_TRUE(newest->entries().contains("optimizer/seen/head.weight"));
  // Its state is not what the named optimizer needs.
  training_.optimizer = {};
  EXPECT_THROW(live("own", 0, parts), InputError);
}

TEST_F(ResumeTest, FromEachCheckpointThatNobodyAskedFor) {
  Recorder whole;
  const Weights weights = live("whole", 0, whole, /*every_steps=*/1);
  CheckpointStore store(folder_ / "whole");
  std::vector<CheckpointPlace> places = store.places();
  ASSERT_EQ(places.size(), 11U);  // at the transition and at the end only what is taken there
  EXPECT_EQ(places[4], (CheckpointPlace{5, true}));
  for (auto place = places.rbegin(); place != places.rend(); ++place) {
    Recorder rest;
    expect_same_bits(live("whole", 0, rest), weights, folder_name(*place));
    // What the log held until then, and this, is the whole log.
    ASSERT_LE(rest.lines.size(), whole.lines.size());
    EXPECT_TRUE(std::equal(rest.lines.rbegin(), rest.lines.rend(), whole.lines.rbegin()));
    store.set_aside(*place);
  }
}

TEST_F(ResumeTest, AFinishedRunGoesOnWithAStageThatWasAdded) {
  schedule_.stages.push_back(stage("more", {"middle"}, 0.5));
  Recorder whole;
  const Weights weights = live("whole", 0, whole);
  schedule_.stages.pop_back();
  Recorder parts;
  live("parts", 0, parts);
  parts.lines.pop_back();  // the first end
  schedule_.stages.push_back(stage("more", {"middle"}, 0.5));
  expect_same_bits(live("parts", 0, parts), weights, "");
  EXPECT_EQ(parts.lines, whole.lines);
}

TEST_F(ResumeTest, CheckpointsAreReportedWithTheirCost) {
  Recorder recorder;
  live("run", 0, recorder, /*every_steps=*/4);
  std::vector<std::string> saved;
  for (const CheckpointReport& report : recorder.checkpoints) {
    EXPECT_EQ(report.problem, "");
    EXPECT_GT(report.bytes, 1000);
    EXPECT_GT(report.seconds, 0);
    EXPECT_GT(report.stall_seconds, 0);
    saved.push_back(
        fmt::format("{}{} {}", report.step, report.transition ? "t" : "", report.stage));
  }
  EXPECT_EQ(saved, (std::vector<std::string>{"4 top", "5t top", "8 all", "11t all"}));
}

}  // namespace
}  // namespace thaw
