// Training that stops after any step and goes on is the training that never stopped.
#include <ATen/ops/equal.h>
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <map>

#include "core/base/error.h"
#include "core/checkpoint/reader.h"
#include "core/checkpoint/saver.h"
#include "core/data/dataset.h"
#include "core/parallel/one_rank.h"
#include "core/parallel/stage_coordinator.h"
#include "core/schedule/resolve_schedule.h"
#include "core/step/optimizer.h"
#include "core/step/stop_request.h"
#include "core/train/trainer.h"
#include "core/train/training_state.h"
#include "tests/core/train/tiny_model.h"

namespace thaw {
namespace {

/// Everything that metrics.jsonl would say, but for times.
class Recorder : public TrainingObserver {
 public:
  void transition(const TransitionReport& report) override {
    lines.push_back(fmt::format("{} transition {}", report.step, report.stage));
  }
  void step(const StepReport& report) override {
    lines.push_back(fmt::format("{} step {} {} {} {}", report.step, report.stage, report.loss,
                                report.learning_rate, report.samples));
  }
  void evaluation(const EvaluationReport& report) override {
    lines.push_back(fmt::format("{} evaluation {} {} {}", report.step, report.loss,
                                report.figure("accuracy"), report.best));
  }
  void checkpoint(const CheckpointReport& report) override { saved.push_back(report); }
  void resume(const ResumeReport& report) override { resumes.push_back(report); }
  void end(const RunSummary& summary) override {
    std::string stages;
    for (const StageSummary& stage : summary.stages) {
      stages += fmt::format("{}{}:{}", stage.goes_on ? "+" : " ", stage.name, stage.steps);
    }
    lines.push_back(
        fmt::format("{} end{} best at {}", summary.steps, stages, summary.best_evaluation.step));
  }
  std::vector<std::string> lines;
  std::vector<CheckpointReport> saved;
  std::vector<ResumeReport> resumes;
};

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
  Stage result;
  result.name = name;
  result.learning_rates.assign(groups.size(), 0.05);
  result.groups = std::move(groups);
  result.until = after_epochs(epochs);
  result.curve.shape = "linear";
  return result;
}

using Weights = std::map<std::string, at::Tensor>;

class ResumeTest : public testing::Test {
 protected:
  ResumeTest() : dataset_({write_tiny_dataset(folder_, 37, 10)}) {
    dataset_.split("train").prepare({});
    dataset_.split("validation").prepare({});
    data_.batch = 8;
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
    Trainer trainer({.model = model,
                     .dataset = dataset_,
                     .schedule = schedule_,
                     .data = data_,
                     .train = train_,
                     .communicator = *alone,
                     .coordinator = *coordinator,
                     .observers = {&recorder},
                     .optimizer = own_optimizer_,
                     .checkpoints = {.saver = &saver,
                                     .every_steps = every_steps,
                                     .facts = {.version = "test"},
                                     .stop = steps > 0 ? &stop : nullptr,
                                     .resume = newest.get(),
                                     .state = &state}});
    EXPECT_EQ(trainer.run().stopped, steps > 0);
    Weights weights;
    for (const auto& parameter : model.named_parameters()) {
      weights[parameter.key()] = parameter.value().detach().clone();
    }
    return weights;
  }

  void expect_equal(const Weights& a, const Weights& b, const std::string& when) {
    for (const auto& [name, tensor] : a) {
      EXPECT_TRUE(at::equal(tensor, b.at(name))) << name << " " << when;
    }
  }

  TemporaryFolder folder_;
  Dataset dataset_;
  DataOptions data_;
  std::function<std::unique_ptr<Optimizer>(const TrainOptions&)> own_optimizer_;
  TrainOptions train_;
  Schedule schedule_;
};

TEST_F(ResumeTest, StoppedAfterAnyStepItComesToTheSameBits) {
  Recorder whole;
  const Weights weights = live("whole", 0, whole);
  ASSERT_EQ(whole.lines.size(), 2U + 11 + 3 + 1);  // 5 + 6 steps; the middle of an epoch at the end
  for (std::int64_t k = 1; k <= 11; ++k) {
    Recorder parts;
    const std::string run = fmt::format("stopped-{}", k);
    live(run, k, parts);
    ASSERT_EQ(parts.saved.back().step, k);
    expect_equal(live(run, 0, parts), weights, fmt::format("stopped after step {}", k));
    EXPECT_EQ(parts.lines, whole.lines) << k;
    ASSERT_EQ(parts.resumes.size(), 1U);
    EXPECT_EQ(parts.resumes[0].step, k);
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
    expect_equal(live(run, 0, parts), weights, fmt::format("stopped after step {}", k));
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
  expect_equal(live("parts", 0, parts), weights, "");
  EXPECT_EQ(parts.lines, whole.lines);
}

TEST_F(ResumeTest, WithEachOptimizer) {
  for (std::size_t kind = 0; kind < kOptimizerNames.size(); ++kind) {
    const std::string name(kOptimizerNames[kind]);
    train_.optimizer = static_cast<OptimizerKind>(kind);
    Recorder whole, parts;
    const Weights weights = live(name, 0, whole);
    for (int i = 0; i < 3; ++i) live(name + "-parts", 3, parts);
    expect_equal(live(name + "-parts", 0, parts), weights, name);
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
  own_optimizer_ = [](const TrainOptions& options) { return std::make_unique<SlowSigns>(options); };
  Recorder whole, parts;
  const Weights weights = live("own", 0, whole);
  EXPECT_FALSE(at::equal(weights.at("head.weight"), by_adamw.at("head.weight")));
  for (int i = 0; i < 3; ++i) live("own-parts", 3, parts);
  expect_equal(live("own-parts", 0, parts), weights, "");
  EXPECT_EQ(parts.lines, whole.lines);
  const auto alone = make_self_communicator();
  std::vector<RejectedCheckpoint> rejected;
  const auto newest = open_newest(CheckpointStore(folder_ / "own"), *alone, rejected);
  EXPECT_TRUE(newest->entries().contains("optimizer/seen/head.weight"));
  // Its state is not what the named optimizer needs.
  own_optimizer_ = {};
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
    expect_equal(live("whole", 0, rest), weights, folder_name(*place));
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
  expect_equal(live("parts", 0, parts), weights, "");
  EXPECT_EQ(parts.lines, whole.lines);
}

TEST_F(ResumeTest, CheckpointsAreReportedWithTheirCost) {
  Recorder recorder;
  live("run", 0, recorder, /*every_steps=*/4);
  std::vector<std::string> saved;
  for (const CheckpointReport& report : recorder.saved) {
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
