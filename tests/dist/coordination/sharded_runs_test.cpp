// More of whole trainings whose optimizer state the ranks share out: what evaluations tell, updates
// beside forward, state that waits elsewhere, a checkpoint that lacks a slice.
#include <ATen/TensorOperators.h>
#include <c10/core/GradMode.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <limits>
#include <thread>

#include "core/base/error.h"
#include "tests/dist/coordination/sharded_job.h"

namespace thaw {
namespace {

using ::testing::HasSubstr;

class ShardedStateOfRuns : public ShardedJob {};

TEST_F(ShardedStateOfRuns, TellsNormsOfGroupsAsTheWholeDoes) {
  type_ = at::kDouble;
  for (const bool sums_are_canonical : {false, true}) {
    if (!sums_are_canonical) train_ = {};
    if (sums_are_canonical) train_ = canonical();
    train_.clip_norm = 0.5;
    train_.evaluate_every = 3;
    const std::string name = sums_are_canonical ? "canonical" : "buckets";
    const Outcome whole = live(name + "-whole", 2, Sharding::kNone);
    expect_close_norms(live(name + "-optimizer", 2, Sharding::kOptimizer), whole);
    expect_close_norms(live(name + "-gradients", 3, Sharding::kGradients), whole);
  }
}

/// With few audits, which wait for updates, most steps have theirs beside forward.
TEST_F(ShardedStateOfRuns, IsTheWholeWhereUpdatesTravelBesideForward) {
  type_ = at::kDouble;
  train_ = {};
  audit_every_ = 7;
  for (const char* schedule : {kStages, kSwitches}) {
    schedule_ = schedule;
    const std::string name = schedule == kStages ? "stages" : "switches";
    overlap_ = Overlap::kOff;
    const Outcome off = live(name + "-off", 2, Sharding::kOptimizer);
    for (const Sharding sharding : {Sharding::kOptimizer, Sharding::kGradients}) {
      overlap_ = Overlap::kOn;
      const Outcome on = live(name + std::to_string(static_cast<int>(sharding)), 2, sharding);
      EXPECT_EQ(on.losses, off.losses);
      expect_same_bits(on.weights, off.weights);
    }
  }
}

TEST_F(ShardedStateOfRuns, HasTheSameBitsWhereverStateOfFrozenLayersWaits) {
  schedule_ = kSwitches;
  const Outcome alone = live("alone", 1, Sharding::kNone);
  for (const TransitionReport& transition : alone.transitions) {
    EXPECT_EQ(transition.state_aside_seconds, 0.0) << "it stays where it is";
  }
  frozen_state_ = FrozenStatePlace::kDisk;
  for (const int ranks : {1, 2}) {
    const Outcome found = live(fmt::format("disk-{}", ranks), ranks,
                               ranks == 1 ? Sharding::kNone : Sharding::kGradients);
    expect_equal(found, alone);
    std::int64_t aside = 0, back = 0;
    for (const TransitionReport& transition : found.transitions) {
      aside += transition.state_bytes_put_aside;
      back += transition.state_bytes_brought_back;
      EXPECT_GT(transition.state_aside_seconds, 0.0) << "its time is told";
      EXPECT_LE(transition.state_aside_seconds, transition.optimizer_seconds);
    }
    EXPECT_GT(back, 0);
    EXPECT_GE(aside, back);
  }
  EXPECT_TRUE(std::filesystem::is_empty(folder_ / "aside"));
  live("resumed", 2, Sharding::kOptimizer, 77);
  frozen_state_ = FrozenStatePlace::kHost;
  live("resumed", 3, Sharding::kGradients, 51);
  frozen_state_ = FrozenStatePlace::kDisk;
  const Outcome end = live("resumed", 1, Sharding::kNone);
  expect_same_bits(end.weights, alone.weights);
  for (const auto& [name, tensor] : alone.state) {
    EXPECT_TRUE(end.state.at(name).equal(tensor)) << name;
  }
}

TEST_F(ShardedStateOfRuns, ASliceThatIsLostFromACheckpointIsNamed) {
  type_ = at::kDouble;  // so that parameters this small are cut
  live("lost", 3, Sharding::kOptimizer, 9);
  const auto alone = make_self_communicator();
  CheckpointSaver saver(CheckpointStore(folder_ / "lost"), *alone,
                        {.keep = {.newest = 100}, .asynchronous = false});
  std::vector<RejectedCheckpoint> rejected;
  const auto whole = open_newest(saver.store(), *alone, rejected);
  ASSERT_TRUE(whole);
  CheckpointContent content;
  content.about = whole->manifest();
  ++content.about.place.step;
  content.state = whole->state();
  content.configuration = whole->configuration();
  std::string lost;
  for (const auto& [name, entry] : whole->entries()) {
    if (lost.empty() && name.starts_with("slices/") && !name.starts_with("slices/0-")) {
      lost = name.substr(name.find("optimizer/"));
      continue;
    }
    content.own.push_back({name, whole->load(name)});
  }
  ASSERT_FALSE(lost.empty());
  saver.save(content);
  for (const int ranks : {1, 2}) {
    try {
      live("lost", ranks, ranks == 1 ? Sharding::kNone : Sharding::kOptimizer);
      ADD_FAILURE() << "not refused on " << ranks;
    } catch (const InputError& error) {
      EXPECT_THAT(error.what(), HasSubstr("the slice of " + lost + " that holds elements"));
      EXPECT_THAT(error.what(), HasSubstr("is missing"));
    }
  }
}

TEST_F(ShardedStateOfRuns, SkipsStepsThatAreNotFiniteAsTheWholeDoes) {
  type_ = at::kDouble;
  train_ = {};
  train_.not_finite = NotFinite::kSkip;
  // Of rank 0, which has samples in every step: the fourth, and two in another stage.
  loss_of_rank_ = [](int rank) -> LossFunction {
    return [rank, step = 0](const at::Tensor& outputs, const Batch&) mutable {
      if (c10::GradMode::is_enabled()) ++step;  // else it is evaluated
      const bool fails = rank == 0 && (step == 4 || step == 9 || step == 10);
      const double factor = fails ? std::numeric_limits<double>::quiet_NaN() : 1.0;
      return (outputs - 1).square().mean() * factor;
    };
  };
  const Outcome whole = live("whole", 2, Sharding::kNone);
  EXPECT_EQ(whole.skipped, (std::vector<std::int64_t>{4, 9, 10}));
  for (const auto& [ranks, sharding] :
       {std::pair{2, Sharding::kOptimizer}, std::pair{3, Sharding::kGradients}}) {
    const Outcome found = live(fmt::format("on-{}", ranks), ranks, sharding);
    EXPECT_EQ(found.skipped, whole.skipped);
    expect_close(found, whole);
  }
}

/// Files of best weights that two ranks write, of a run whose loss is no number from the eighth
/// step on, when better weights wait than those of the first file.
int best_files_of_a_run_that_fails(const std::string& data, Sharding sharding) {
  int files = 0;  // rank 0's
  const auto train = [&](Communicator& communicator) {
    Training training{
        .schedule = {{make_stage("all", {"stem", "middle", "head"}, after_epochs(4))}},
        .best_may_wait = true,
        .sharding = sharding};
    training.data.batch = 12;
    training.train.evaluate_every = 2;
    int steps = 0;
    training.loss = [&](const at::Tensor& outputs, const Batch&) {
      if (c10::GradMode::is_enabled()) ++steps;  // else it is evaluated
      return outputs.square().mean() * (steps > 7 ? std::numeric_limits<double>::quiet_NaN() : 1.0);
    };
    training.save_best = [&] {
      if (++files == 1) std::this_thread::sleep_for(std::chrono::milliseconds(400));
    };
    const Dataset dataset = prepared_dataset(data);
    TinyModel model;
    model.to(at::kDouble);
    const auto coordinator = coordinator_for(communicator, {.sharding = sharding});
    Recorder recorder;
    training.run(model, dataset, recorder, communicator, *coordinator);
  };
  EXPECT_THROW(run_ranks(2, train), RunError);
  return files;
}

/// What of the others' slices still comes in would make a file of two steps.
TEST_F(ShardedStateOfRuns, ARunThatFailsWritesNoBestWeights) {
  EXPECT_EQ(best_files_of_a_run_that_fails(data_, Sharding::kNone), 2);
  EXPECT_EQ(best_files_of_a_run_that_fails(data_, Sharding::kOptimizer), 1);
  EXPECT_EQ(best_files_of_a_run_that_fails(data_, Sharding::kGradients), 1);
}

}  // namespace
}  // namespace thaw
