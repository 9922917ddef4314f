#pragma once

#include <ATen/Parallel.h>
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "core/checkpoint/reader.h"
#include "core/checkpoint/saver.h"
#include "core/parallel/one_rank.h"
#include "core/step/optimizer.h"
#include "core/step/stop_request.h"
#include "core/train/sliced_tensors.h"
#include "core/train/training_state.h"
#include "dist/coordination/unfreezing_coordinator.h"
#include "tests/dist/coordination/schedule_job.h"
#include "tests/support/small_networks.h"

namespace thaw {

inline constexpr std::int64_t kShards = 4;

/// Every step another pair of groups, 200 times; each keeps the state that it had.
inline constexpr char kSwitches[] = R"(
[[schedule.stage]]
name = "drawn"
groups = ["*"]
learning-rate = { "m*" = 0.01, "*" = 0.03 }
until = { steps = 200 }
policy = { kind = "random", groups = 2, every-steps = 1, always = [] }
)";

inline constexpr char kStages[] = R"(
[[schedule.stage]]
name = "head"
groups = ["head"]
learning-rate = 0.05
until = { steps = 5 }

[[schedule.stage]]
name = "upper"
groups = ["middle", "head"]
learning-rate = { head = 0.05, middle = 0.02 }
until = { steps = 6 }
optimizer-state = "keep-staying"

[[schedule.stage]]
name = "lower"
groups = ["stem", "middle"]
learning-rate = 0.02
until = { steps = 5 }

[[schedule.stage]]
name = "again"
groups = ["*"]
learning-rate = 0.01
until = { gradient-signal = { group = "middle", every-steps = 2, least-change = 1e-9 }, at-least = { steps = 7 }, at-most = { steps = 7 } }
)";

struct Outcome {
  Weights weights;
  Weights state;  ///< of the optimizer, whole, by its names in a checkpoint
  std::vector<double> losses, norms;
  std::vector<TransitionReport> transitions;
  std::vector<EvaluationReport> evaluations;
  std::vector<std::int64_t> skipped;  ///< steps
};

/// All optimizer state of a checkpoint, put together.
inline Weights state_in(const CheckpointReader& checkpoint) {
  std::set<std::string> names;
  for (const auto& [name, entry] : checkpoint.entries()) {
    const std::size_t begin = name.find("optimizer/");
    if (begin == std::string::npos) continue;
    EXPECT_TRUE(begin == 0 || name.starts_with("slices/")) << name;
    names.insert(name.substr(begin));
  }
  const SlicedTensors slices(checkpoint);
  Weights state;
  for (const std::string& name : names) state[name] = slices.load(name);
  return state;
}

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

/// Whole trainings with and without shared state.
class ShardedJob : public testing::Test {
 protected:
  ShardedJob() {
    data_ = write_tiny_dataset(folder_, 37, 10);
    std::filesystem::create_directory(folder_ / "aside");
  }

  static TrainOptions canonical() {
    TrainOptions options;
    options.reduction = Reduction::kCanonical;
    options.shards = kShards;
    options.threads = 1;
    options.clip_norm = 0.5;
    return options;
  }

  /// Trains from the newest checkpoint under `run`, if there is one; stops after `steps`, if not 0.
  Outcome live(const std::string& run, int ranks, Sharding sharding, std::int64_t steps = 0) {
    Outcome outcome;
    run_ranks(ranks, [&](Communicator& communicator) {
      at::set_num_threads(1);
      const Dataset dataset = prepared_dataset(data_);
      TinyModel model(0.2);
      model.to(type_);
      ReducerOptions options{.sharding = sharding};
      options.buckets.cap_bytes = 600;  // several buckets
      options.overlap = overlap_;
      if (train_.reduction == Reduction::kCanonical) options.shards = train_.shards;
      const auto coordinator = make_unfreezing_coordinator(communicator, options);
      CheckpointSaver saver(CheckpointStore(folder_ / run), communicator,
                            {.keep = {.newest = 100}, .asynchronous = false});
      std::vector<RejectedCheckpoint> rejected;
      const auto newest = open_newest(saver.store(), communicator, rejected);
      EXPECT_TRUE(rejected.empty());
      TrainingState state;
      if (newest) state = training_state_from_json(newest->state(), "state");
      StopAfter stop(steps);
      Training training{.schedule = tiny_schedule(schedule_),
                        .train = train_,
                        .loss = loss_of_rank_ ? loss_of_rank_(communicator.rank()) : LossFunction(),
                        .optimizer = optimizer_,
                        .sharding = sharding,
                        .frozen_state = frozen_state_,
                        .frozen_state_folder = folder_ / "aside",
                        .audit_every = audit_every_,
                        .checkpoints = {.saver = &saver,
                                        .facts = {.version = "test"},
                                        .stop = steps > 0 ? &stop : nullptr,
                                        .resume = newest.get(),
                                        .state = &state}};
      training.data.batch = 12;
      Recorder heard(&model);
      training.run(model, dataset, heard, communicator, *coordinator);
      if (communicator.rank() != 0) return;
      outcome.weights = weights_of(model);
      outcome.losses = heard.losses();
      outcome.norms = heard.norms();
      outcome.transitions = heard.transitions;
      outcome.evaluations = heard.evaluations;
      for (const SkippedReport& skip : heard.skips) outcome.skipped.push_back(skip.step);
    });
    outcome.state = state_at_the_end_of(run);
    return outcome;
  }

  Weights state_at_the_end_of(const std::string& run) {
    const auto alone = make_self_communicator();
    std::vector<RejectedCheckpoint> rejected;
    const auto reader = open_newest(CheckpointStore(folder_ / run), *alone, rejected);
    return reader ? state_in(*reader) : Weights();
  }

  static void expect_equal(const Outcome& found, const Outcome& expected) {
    EXPECT_EQ(found.losses, expected.losses);
    EXPECT_EQ(found.norms, expected.norms);
    expect_same_bits(found.weights, expected.weights);
    ASSERT_FALSE(expected.state.empty());
    ASSERT_EQ(found.state.size(), expected.state.size());
    for (const auto& [name, tensor] : expected.state) {
      EXPECT_TRUE(found.state.at(name).equal(tensor)) << name;
    }
  }

  /// Norms of gradients of groups, as evaluations tell them.
  static void expect_close_norms(const Outcome& found, const Outcome& expected) {
    ASSERT_EQ(found.evaluations.size(), expected.evaluations.size());
    ASSERT_FALSE(expected.evaluations.empty());
    int told = 0;
    for (std::size_t i = 0; i < expected.evaluations.size(); ++i) {
      const auto& groups = expected.evaluations[i].groups;
      ASSERT_EQ(found.evaluations[i].groups.size(), groups.size());
      for (std::size_t g = 0; g < groups.size(); ++g) {
        const std::optional<double>& norm = found.evaluations[i].groups[g].gradient_norm;
        ASSERT_EQ(norm.has_value(), groups[g].gradient_norm.has_value()) << i << groups[g].name;
        if (!norm) continue;
        ++told;
        EXPECT_NEAR(*norm, *groups[g].gradient_norm, 1e-6 * *groups[g].gradient_norm)
            << i << groups[g].name;
      }
    }
    EXPECT_GT(told, 0);
  }

  static void expect_close(const Outcome& found, const Outcome& expected) {
    ASSERT_EQ(found.state.size(), expected.state.size());
    for (const auto& [name, tensor] : expected.state) {
      const double most = tensor.to(at::kDouble).abs().max().item<double>();
      const double apart =
          found.state.at(name).sub(tensor).to(at::kDouble).abs().max().item<double>();
      EXPECT_LE(apart, 1e-12 * std::max(most, 1e-3)) << name;
    }
    for (const auto& [name, tensor] : expected.weights) {
      EXPECT_LE(found.weights.at(name).sub(tensor).abs().max().item<double>(), 1e-9) << name;
    }
  }

  TemporaryFolder folder_;
  std::string data_;
  std::string schedule_ = kStages;
  at::ScalarType type_ = at::kFloat;
  TrainOptions train_ = canonical();
  Overlap overlap_ = Overlap::kAuto;
  FrozenStatePlace frozen_state_ = FrozenStatePlace::kDevice;
  std::int64_t audit_every_ = 1;
  std::function<std::unique_ptr<Optimizer>(const TrainOptions&)> optimizer_;
  std::function<LossFunction(int rank)> loss_of_rank_;  ///< in place of the task's; empty: that
};

}  // namespace thaw
