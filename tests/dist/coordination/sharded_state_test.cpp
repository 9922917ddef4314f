// Whole trainings whose optimizer state the ranks share out, on ranks that are threads of this
// process: beside those without, through switches, and through checkpoints at other numbers of
// ranks.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "core/base/error.h"
#include "tests/dist/coordination/sharded_job.h"

namespace thaw {
namespace {

using ::testing::HasSubstr;

class ShardedState : public ShardedJob {};

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
  type_ = at::kDouble;                    // so that parameters this small are cut
  const std::string end = "steps = 200";  // of which a third draw the pair that is active
  schedule_ = kSwitches;
  schedule_.replace(schedule_.find(end), end.size(), "steps = 400");
  const Outcome alone = live("alone", 1, Sharding::kNone);
  const Outcome three = live("three", 3, Sharding::kGradients);
  int switches = 0;
  for (std::size_t i = 1; i < three.transitions.size(); ++i) {
    const auto is_active = &TransitionReport::Group::active;
    const bool stays = std::ranges::equal(three.transitions[i - 1].groups,
                                          three.transitions[i].groups, {}, is_active, is_active);
    switches += stays ? 0 : 1;
  }
  ASSERT_GE(switches, 200);
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
