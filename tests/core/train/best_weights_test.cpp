#include "core/train/best/best_weights.h"

#include <ATen/ops/equal.h>
#include <ATen/ops/full.h>
#include <ATen/ops/ones.h>
#include <c10/core/GradMode.h>
#include <gtest/gtest.h>

#include <chrono>
#include <thread>

#include "core/base/error.h"
#include "core/schedule/stage_plan.h"
#include "core/step/parameter_table.h"
#include "tests/core/train/tiny_model.h"
#include "tests/support/training.h"

namespace thaw {
namespace {

TEST(BestWaits, ATenthOfTheTimeAtMostGoesIntoFiles) {
  EXPECT_TRUE(best_waits(/*seconds_since=*/0.1, /*seconds_of_a_file=*/0.25, /*changed=*/1000));
  EXPECT_TRUE(best_waits(2.2, 0.25, 1000));
  EXPECT_FALSE(best_waits(2.3, 0.25, 1000));
  EXPECT_FALSE(best_waits(0, 0, 1000));
}

TEST(BestWaits, NotWhereMemoryMayBeShort) {
  EXPECT_FALSE(best_waits(0, 1, std::int64_t{1} << 30));
  EXPECT_FALSE(best_waits(0, 1, 0)) << "nothing to keep: the model itself is all";
}

/// Of a stage that changes one parameter of so many elements and one of a quarter of that, float32.
std::int64_t most_waiting_of(std::int64_t elements, bool in_segments) {
  const std::vector<std::string> groups = {"body"};
  const std::vector<ParameterFacts> parameters = {{.name = "body.large", .shape = {elements}},
                                                  {.name = "body.small", .shape = {elements / 4}}};
  const TinyModel without_buffers;
  return most_waiting(
      make_stage_plan(groups, parameters, make_stage("all", groups, after_steps(1))),
      without_buffers, in_segments);
}

TEST(MostWaiting, IsWhatTheStageChangesAndOneTensorOnItsWay) {
  for (const bool in_segments : {false, true}) {
    EXPECT_EQ(most_waiting_of(1000, in_segments), 5000 + 4000);
  }
}

TEST(MostWaiting, ASegmentOfALargeStageMayChangeLittleEnoughToWait) {
  constexpr std::int64_t kMost = 64 << 20;  // that still waits
  EXPECT_TRUE(best_waits(/*seconds_since=*/0, /*seconds_of_a_file=*/1, /*changed=*/kMost));
  EXPECT_FALSE(best_waits(0, 1, kMost + 1));
  EXPECT_EQ(most_waiting_of(15 << 20, /*in_segments=*/false), 0);
  EXPECT_EQ(most_waiting_of(15 << 20, /*in_segments=*/true), kMost + (60 << 20));
  EXPECT_EQ(most_waiting_of(100 << 20, /*in_segments=*/true), 2 * kMost)
      << "what waits is no larger than all of it";
}

class BestWeightsTest : public testing::Test {
 protected:
  BestWeightsTest() : parameters_(model_, /*decay_norms_and_biases=*/false) {}

  /// Whose first file takes so long that what comes after it waits.
  BestWeights slow(bool may_wait = true) {
    return {model_, parameters_, {.save = [this] { save(); }, .may_wait = may_wait}};
  }
  void save() {
    saved_.push_back(head());
    if (fails_) throw RunError("no room");
    if (saved_.size() == 1) std::this_thread::sleep_for(std::chrono::milliseconds(400));
  }
  at::Tensor head() { return model_.named_parameters()["head.weight"].detach().clone(); }
  void step() {
    const c10::AutoGradMode no_grad(false);
    model_.named_parameters()["head.weight"].add_(1);
  }

  TinyModel model_;
  ParameterTable parameters_;
  std::vector<at::Tensor> saved_;
  bool fails_ = false;
};

TEST_F(BestWeightsTest, WhatWaitsIsWrittenAsItWasAndTheModelStaysAsItIs) {
  BestWeights best = slow();
  best.enter_stage({"head.weight", "head.bias"});
  std::this_thread::sleep_for(std::chrono::milliseconds(1));
  best.evaluated(true);
  ASSERT_EQ(saved_.size(), 1U) << "the first file takes no time that anybody knows of";
  step();
  best.evaluated(true);
  step();
  const at::Tensor third = head();
  best.evaluated(true);
  step();
  best.evaluated(false);
  const at::Tensor now = head();
  EXPECT_EQ(saved_.size(), 1U);
  best.write_waiting();
  ASSERT_EQ(saved_.size(), 2U);
  EXPECT_TRUE(at::equal(saved_[1], third));
  EXPECT_TRUE(at::equal(head(), now));
  best.write_waiting();
  EXPECT_EQ(saved_.size(), 2U) << "nothing waits any more";
}

TEST_F(BestWeightsTest, AStageLeavesNothingToTheNext) {
  BestWeights best = slow();
  best.enter_stage({"head.weight", "head.bias"});
  std::this_thread::sleep_for(std::chrono::milliseconds(1));
  best.evaluated(true);
  step();
  best.evaluated(true);
  const at::Tensor second = head();
  best.enter_stage({"middle.weight"});
  ASSERT_EQ(saved_.size(), 2U);
  EXPECT_TRUE(at::equal(saved_[1], second));
}

TEST_F(BestWeightsTest, AFileThatFailsLeavesTheModelAsItIs) {
  BestWeights best = slow();
  best.enter_stage({"head.weight", "head.bias"});
  std::this_thread::sleep_for(std::chrono::milliseconds(1));
  best.evaluated(true);
  step();
  best.evaluated(true);
  step();
  const at::Tensor now = head();
  fails_ = true;
  EXPECT_THROW(best.write_waiting(), RunError);
  EXPECT_TRUE(at::equal(head(), now));
}

TEST_F(BestWeightsTest, ABufferThatTheModelHasTwiceStaysAsItIs) {
  const at::Tensor buffer = at::ones({3});
  for (const char* name : {"one", "other"}) model_.register_buffer(name, buffer);
  BestWeights best = slow();
  best.enter_stage({"head.weight"});
  std::this_thread::sleep_for(std::chrono::milliseconds(1));
  best.evaluated(true);
  best.evaluated(true);
  {
    const c10::AutoGradMode no_grad(false);
    at::Tensor(buffer).add_(1);
  }
  best.write_waiting();
  ASSERT_EQ(saved_.size(), 2U);
  EXPECT_TRUE(at::equal(buffer, at::full({3}, 2.0F)));
}

TEST_F(BestWeightsTest, EachIsWrittenAtOnceWhereNobodyLetsItWait) {
  BestWeights best = slow(/*may_wait=*/false);
  best.enter_stage({"head.weight", "head.bias"});
  for (int i = 0; i < 3; ++i) best.evaluated(true);
  EXPECT_EQ(saved_.size(), 3U);
}

TEST(BestWeightsInTraining, TheLastFileHoldsTheBest) {
  TemporaryFolder folder;
  const Dataset dataset = prepared_dataset(write_tiny_dataset(folder, 37, 10));
  Training training;
  training.data.batch = 8;
  training.train.precision = Precision::kFloat64;
  training.schedule.stages = {make_stage("top", {"head"}, after_epochs(6)),
                              make_stage("all", {"stem", "middle", "head"}, after_epochs(3))};
  const auto last_file = [&](bool may_wait) {
    TinyModel model;
    model.to(at::kDouble);
    Weights file;
    training.best_may_wait = may_wait;
    training.save_best = [&] {
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
      file = weights_of(model);
    };
    Recorder recorder;
    training.run(model, dataset, recorder);
    return std::pair(file, weights_of(model));
  };
  const auto [file, weights] = last_file(/*may_wait=*/false);
  const auto [late_file, same_weights] = last_file(/*may_wait=*/true);
  ASSERT_FALSE(late_file.empty());
  expect_same_bits(late_file, file);
  expect_same_bits(same_weights, weights);
}

}  // namespace
}  // namespace thaw
