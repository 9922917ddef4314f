// Whole trainings whose optimizer state the ranks share out, on ranks that are threads of this
// process: beside those without, through switches, and through checkpoints at other numbers of
// ranks.
#include <ATen/Parallel.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "core/base/error.h"
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
namespace {

using ::testing::HasSubstr;

constexpr std::int64_t kShards = 4;

/// Every step another pair of groups, 200 times; each keeps the state that it had.
const char kSwitches[] = R"(
[[schedule.stage]]
name = "drawn"
groups = ["*"]
learning-rate = { "m*" = 0.01, "*" = 0.03 }
until = { steps = 200 }
policy = { kind = "random", groups = 2, every-steps = 1, always = [] }
)";

const char kStages[] = R"(
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

const char kReset[] = R"(
[[schedule.stage]]
name = "one"
groups = ["middle", "head"]
learning-rate = 0.05
until = { steps = 5 }

[[schedule.stage]]
name = "two"
groups = ["*"]
learning-rate = 0.02
until = { steps = 6 }
optimizer-state = "reset"
)";

struct Outcome {
  Weights weights;
  Weights state;  ///< of the optimizer, whole, by its names in a checkpoint
  std::vector<double> losses, norms;
  std::vector<TransitionReport> transitions;
};

/// All optimizer state of a checkpoint, put together.
Weights state_in(const CheckpointReader& checkpoint) {
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

class ShardedState : public testing::Test {
 protected:
  ShardedState() { data_ = write_tiny_dataset(folder_, 37, 10); }

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
                        .optimizer = optimizer_,
                        .sharding = sharding,
                        .audit_every = 1,
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
  std::function<std::unique_ptr<Optimizer>(const TrainOptions&)> optimizer_;
};

TEST_F(ShardedState, HasTheBitsOfTheWholeWhereSumsAreCanonical) {
  for (std::size_t kind = 0; kind < kOptimizerNames.size(); ++kind) {
    SCOPED_TRACE(kOptimizerNames[kind]);
    train_.optimizer = static_cast<OptimizerKind>(kind);
    const std::string name(kOptimizerNames[kind]);
    const Outcome alone = live(name + "-alone", 1, Sharding::kNone);
    ASSERT_EQ(alone.losses.size(), 23U);
    for (int ranks = 1; ranks <= 4; ++ranks) {
      const Sharding sharding = ranks == 3 ? Sharding::kGradients : Sharding::kOptimizer;
      expect_equal(live(fmt::format("{}-{}", name, ranks), ranks, sharding), alone);
    }
  }
}

TEST_F(ShardedState, HasTheBitsOfTheWholeAfterTwoHundredSwitches) {
  type_ = at::kDouble;  // so that parameters this small are cut
  schedule_ = kSwitches;
  const Outcome alone = live("alone", 1, Sharding::kNone);
  const Outcome three = live("three", 3, Sharding::kGradients);
  ASSERT_GE(three.transitions.size(), 150U);
  std::int64_t moved = 0;
  for (const TransitionReport& transition : three.transitions)
    moved += transition.state_bytes_moved;
  EXPECT_GT(moved, 0);
  expect_equal(three, alone);
}

TEST_F(ShardedState, BeginsAnewWhereItIsReset) {
  schedule_ = kReset;
  expect_equal(live("four", 4, Sharding::kOptimizer), live("alone", 1, Sharding::kNone));
}

TEST_F(ShardedState, IsTheWholeToRoundingInFloat64) {
  type_ = at::kDouble;
  train_ = {};
  train_.clip_norm = 0.5;
  for (const char* schedule : {kStages, kSwitches}) {
    schedule_ = schedule;
    const std::string name = schedule == kStages ? "stages" : "switches";
    const Outcome whole = live(name + "-whole", 2, Sharding::kNone);
    expect_close(live(name + "-optimizer", 2, Sharding::kOptimizer), whole);
    expect_close(live(name + "-gradients", 3, Sharding::kGradients), whole);
  }
}

TEST_F(ShardedState, GoesOnAtAnyNumberOfRanksFromACheckpoint) {
  type_ = at::kDouble;
  const Outcome alone = live("alone", 1, Sharding::kNone);
  struct Life {
    int ranks;
    Sharding sharding;
    std::int64_t steps;
  };
  int number = 0;
  for (const std::vector<Life>& lives :
       {std::vector<Life>{{3, Sharding::kOptimizer, 4}, {2, Sharding::kGradients, 9}},
        std::vector<Life>{{1, Sharding::kNone, 7}, {4, Sharding::kOptimizer, 5}},
        std::vector<Life>{{4, Sharding::kGradients, 13}, {2, Sharding::kNone, 3}},
        std::vector<Life>{{2, Sharding::kOptimizer, 12}, {2, Sharding::kOptimizer, 1}}}) {
    const std::string run = fmt::format("run-{}", number++);
    for (const Life& life : lives) live(run, life.ranks, life.sharding, life.steps);
    Outcome end = live(run, 1 + number % 4, number % 2 ? Sharding::kGradients : Sharding::kNone);
    EXPECT_EQ(end.losses.back(), alone.losses.back());
    expect_same_bits(end.weights, alone.weights);
    for (const auto& [name, tensor] : alone.state) {
      EXPECT_TRUE(end.state.at(name).equal(tensor)) << name;
    }
  }
}

TEST_F(ShardedState, HoldsASliceOfItARank) {
  type_ = at::kDouble;
  live("four", 4, Sharding::kOptimizer);
  const auto alone = make_self_communicator();
  std::vector<RejectedCheckpoint> rejected;
  const auto reader = open_newest(CheckpointStore(folder_ / "four"), *alone, rejected);
  ASSERT_TRUE(reader);
  int slices = 0;
  for (const auto& [name, entry] : reader->entries()) {
    EXPECT_FALSE(name.starts_with("optimizer/first/")) << name;
    slices += name.starts_with("slices/") ? 1 : 0;
  }
  EXPECT_GT(slices, 12);
}

/// One that does not say that it goes by elements.
class ByNorm final : public Optimizer {
 public:
  ByNorm() : Optimizer({}) {}

 private:
  void update(Update& now) override {
    for (std::size_t i = 0; i < now.parameters.size(); ++i) {
      now.parameters[i].sub_(now.gradients[i] / now.gradients[i].norm(), now.learning_rate);
    }
  }
};

TEST_F(ShardedState, IsRefusedForOptimizersThatLookAtWholeTensors) {
  optimizer_ = [](const TrainOptions&) { return std::make_unique<ByNorm>(); };
  try {
    live("refused", 2, Sharding::kOptimizer);
    FAIL() << "no error";
  } catch (const InputError& error) {
    EXPECT_THAT(error.what(), HasSubstr("distributed.sharding: the optimizer does not say"));
  }
  EXPECT_NO_THROW(live("alone", 1, Sharding::kOptimizer));
}

/// AdamW's rule with a bit that flips in the state of the first step's parameters, which are frozen
/// by then.
class Flipping final : public Optimizer {
 public:
  Flipping() : Optimizer({"first"}) {}
  bool goes_by_elements() const override { return true; }

 private:
  void update(Update& now) override {
    if (first_.empty()) first_ = now.slots[0];
    if (++updates_ == 8) {
      for (const at::Tensor& slot : first_) {
        static_cast<char*>(slot.mutable_data_ptr())[1] ^= 4;
      }
    }
    for (std::size_t i = 0; i < now.parameters.size(); ++i) {
      now.slots[0][i].lerp_(now.gradients[i], 0.5);
      now.parameters[i].sub_(now.slots[0][i], now.learning_rate);
    }
  }

  int updates_ = 0;
  std::vector<at::Tensor> first_;
};

TEST_F(ShardedState, ABitThatFlipsInAFrozenSliceIsNamed) {
  schedule_ = R"(
[[schedule.stage]]
name = "head"
groups = ["head"]
learning-rate = 0.05
until = { steps = 3 }

[[schedule.stage]]
name = "rest"
groups = ["stem", "middle"]
learning-rate = 0.05
until = { steps = 9 }
)";
  train_ = {};
  optimizer_ = [&](const TrainOptions&) { return std::make_unique<Flipping>(); };
  try {
    live("flipped", 2, Sharding::kOptimizer);
    FAIL() << "not found";
  } catch (const DisagreementError& error) {
    EXPECT_THAT(error.what(), HasSubstr("first moment of head."));
    EXPECT_THAT(error.what(), HasSubstr("the slice on rank"));
  }
}

}  // namespace
}  // namespace thaw
