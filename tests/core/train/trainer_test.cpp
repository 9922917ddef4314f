#include "core/train/trainer.h"

#include <ATen/ops/equal.h>
#include <ATen/ops/isfinite.h>
#include <ATen/ops/max.h>
#include <c10/core/GradMode.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "core/base/error.h"
#include "core/config/configuration.h"
#include "core/data/dataset.h"
#include "core/parallel/one_rank.h"
#include "core/parallel/stage_coordinator.h"
#include "core/schedule/schedule.h"
#include "tests/core/train/tiny_model.h"
#include "tests/support/training.h"

namespace thaw {
namespace {

constexpr double kRate = 0.05;

Stage stage(const std::string& name, std::vector<std::string> groups, double epochs) {
  return make_stage(name, std::move(groups), after_epochs(epochs), kRate);
}

class TrainerTest : public testing::Test {
 protected:
  TrainerTest() : dataset_(prepared_dataset(write_tiny_dataset(folder_, 37, 10))) {
    training_.data.batch = 8;
    training_.train.precision = Precision::kFloat64;
    training_.save_best = [this] { ++saved_best_; };
    training_.save_last = [this] { ++saved_last_; };
  }

  void run(TinyModel& model, const Schedule& schedule) {
    model.to(at::kDouble);
    training_.schedule = schedule;
    training_.run(model, dataset_, recorder_);
  }

  TemporaryFolder folder_;
  Dataset dataset_;
  Training training_;
  TrainOptions& train_ = training_.train;
  Recorder recorder_;
  int saved_best_ = 0;
  int saved_last_ = 0;
};

TEST_F(TrainerTest, RunsTheStagesInOrderToTheirEnds) {
  TinyModel model;
  run(model, {{stage("top", {"head"}, 1), stage("all", {"stem", "middle", "head"}, 2)}});
  ASSERT_EQ(recorder_.transitions.size(), 2U);
  EXPECT_EQ(recorder_.transitions[1].step, 5);  // 37 samples in batches of 8: the last holds 5
  EXPECT_EQ(recorder_.transitions[1].backward_cut, "stem");
  ASSERT_EQ(recorder_.steps.size(), 15U);
  EXPECT_EQ(recorder_.steps[4].samples, 5);
  EXPECT_DOUBLE_EQ(recorder_.steps.back().epoch, 3.0);
  EXPECT_LT(recorder_.steps.back().loss, recorder_.steps.front().loss);
  ASSERT_EQ(recorder_.summaries.size(), 1U);
  EXPECT_EQ(recorder_.summaries[0].stages[0].active_parameters, 3 * 8 + 3);
  EXPECT_EQ(recorder_.evaluations.size(), 3U);  // at each epoch's end, once
  EXPECT_EQ(saved_last_, 1);
  EXPECT_GE(saved_best_, 1);
}

TEST_F(TrainerTest, StepsLeftAreCountedByWhatTheyTakeOnceThatIsKnown) {
  TinyModel model;
  run(model, {{stage("top", {"head"}, 1), stage("all", {"stem", "middle", "head"}, 2)}});
  ASSERT_EQ(recorder_.steps.size(), 15U);
  EXPECT_EQ(recorder_.steps[0].steps_worth_left, 0);  // the second step is looked at
  // One step is left of this stage, and ten of one in which backward goes all the way: each takes
  // more, and at most three times as much.
  EXPECT_GT(recorder_.steps[3].steps_worth_left, 11);
  EXPECT_LE(recorder_.steps[3].steps_worth_left, 31);
  EXPECT_DOUBLE_EQ(recorder_.steps[9].steps_worth_left, 5);
  EXPECT_DOUBLE_EQ(recorder_.steps[14].steps_worth_left, 0);
}

TEST_F(TrainerTest, FrozenParametersStayBitIdenticalAndReturn) {
  TinyModel model;
  model.to(at::kDouble);
  const auto before = weights_of(model);
  run(model, {{stage("top", {"head"}, 2)}});
  for (const auto& [name, tensor] : weights_of(model)) {
    EXPECT_EQ(at::equal(tensor, before.at(name)), !name.starts_with("head")) << name;
  }
  // Re-freezing: what was active before has state, and still must not move.
  const auto then = weights_of(model);
  run(model, {{stage("top", {"head"}, 1), stage("lowest", {"stem"}, 1)}});
  const auto after = weights_of(model);
  EXPECT_TRUE(at::equal(after.at("middle.weight"), then.at("middle.weight")));
  EXPECT_FALSE(at::equal(after.at("stem.weight"), then.at("stem.weight")));
}

TEST_F(TrainerTest, TheFrozenPrefixRunsWithoutAutograd) {
  TinyModel model;
  train_.evaluate_every = 1000;
  run(model, {{stage("upper", {"middle", "head"}, 1)}});
  ASSERT_GE(model.recorded.size(), 15U);
  for (std::size_t i = 0; i < 15; ++i) {
    EXPECT_EQ(model.recorded[i], i % 3 != 0) << "group " << i % 3;
  }
}

TEST_F(TrainerTest, MicroBatchesGiveTheSameTraining) {
  TinyModel whole(0.2);
  run(whole, {{stage("all", {"stem", "middle", "head"}, 2)}});
  TinyModel pieces(0.2);
  train_.micro_batch = 3;
  run(pieces, {{stage("all", {"stem", "middle", "head"}, 2)}});
  const auto a = weights_of(whole);
  for (const auto& [name, tensor] : weights_of(pieces)) {
    const at::Tensor difference = (tensor - a.at(name)).abs().max() / a.at(name).abs().max();
    EXPECT_LT(difference.item().toDouble(), 1e-9) << name;
  }
}

TEST_F(TrainerTest, DropoutChangesTrainingButNotEvaluation) {
  TinyModel without;
  run(without, {{stage("all", {"stem", "middle", "head"}, 1)}});
  const double loss = recorder_.steps.back().loss;
  TinyModel with(0.5);
  run(with, {{stage("all", {"stem", "middle", "head"}, 1)}});
  EXPECT_NE(recorder_.steps.back().loss, loss);
}

TEST_F(TrainerTest, ALossThatIsNotFiniteStopsTheRunAndNamesTheStep) {
  TinyModel model;
  Schedule schedule{{stage("all", {"stem", "middle", "head"}, 5)}};
  schedule.stages[0].learning_rates.assign(3, 1e200);
  try {
    run(model, schedule);
    FAIL() << "no error";
  } catch (const RunError& error) {
    EXPECT_NE(std::string(error.what()).find("of stage \"all\": the loss is"), std::string::npos)
        << error.what();
    EXPECT_TRUE(error.agreed());
  }
}

TEST_F(TrainerTest, AStepThatNobodyReadsIsJudgedToo) {
  train_.clip_norm = 0;
  training_.log_every = 100;
  int steps = 0;
  training_.loss = [&](const at::Tensor& outputs, const Batch&) {
    if (c10::GradMode::is_enabled()) ++steps;
    return outputs.square().mean() * (steps == 3 ? std::numeric_limits<double>::quiet_NaN() : 1.0);
  };
  TinyModel model;
  try {
    run(model, {{stage("top", {"head"}, 4)}});
    FAIL() << "an update by what is no number";
  } catch (const RunError& error) {
    EXPECT_THAT(error.what(), testing::HasSubstr("step 3 of stage \"top\": the loss is"));
  }
  for (const at::Tensor& each : model.parameters()) {
    EXPECT_TRUE(each.isfinite().all().item<bool>());
  }
}

TEST_F(TrainerTest, AStageOverridesOptimizerSettings) {
  train_.optimizer = OptimizerKind::kSgd;
  train_.weight_decay = 0.5;
  TinyModel model;
  model.to(at::kDouble);
  const auto before = weights_of(model);
  Schedule schedule{{stage("all", {"stem", "middle", "head"}, 1)}};
  schedule.stages[0].learning_rates.assign(3, 0.0);  // decay rides on the rate: nothing moves
  schedule.stages[0].overrides["weight-decay"] = 0.0;
  schedule.stages[0].overrides["label-smoothing"] = 0.5;
  run(model, schedule);
  const double smoothed = recorder_.steps[0].loss;
  for (const auto& [name, tensor] : weights_of(model)) {
    EXPECT_TRUE(at::equal(tensor, before.at(name))) << name;
  }
  schedule.stages[0].overrides["label-smoothing"] = 0.0;
  run(model, schedule);
  const double plain = recorder_.steps.back().loss;
  EXPECT_GT(std::abs(smoothed - plain), 1e-5);

  schedule.stages[0].until = after_steps(1);
  schedule.stages[0].learning_rates.assign(3, 0.1);
  schedule.stages[0].overrides["clip-norm"] = 1e-12;  // leaves decay alone to move the weights
  schedule.stages[0].overrides["weight-decay"] = 0.25;
  run(model, schedule);
  const at::Tensor expected = before.at("stem.weight") * (1 - 0.1 * 0.25);
  EXPECT_LT((weights_of(model).at("stem.weight") - expected).abs().max().item().toDouble(), 1e-9);
  EXPECT_LT(
      (weights_of(model).at("stem.bias") - before.at("stem.bias")).abs().max().item().toDouble(),
      1e-9)
      << "biases do not decay";
}

TEST_F(TrainerTest, EvaluatesEverySoManySteps) {
  train_.evaluate_every = 2;
  TinyModel model;
  run(model, {{stage("all", {"stem", "middle", "head"}, 1)}});  // 5 steps
  ASSERT_EQ(recorder_.evaluations.size(), 3U);
  EXPECT_EQ(recorder_.evaluations[0].step, 2);
  EXPECT_EQ(recorder_.evaluations[1].step, 4);
  EXPECT_EQ(recorder_.evaluations[2].step, 5);  // the stage's end
  EXPECT_EQ(recorder_.evaluations[2].samples, 10);
}

TEST_F(TrainerTest, ClippingLimitsTheUpdate) {
  train_.optimizer = OptimizerKind::kSgd;
  train_.momentum = 0;
  train_.weight_decay = 0;
  train_.clip_norm = 1e-3;
  TinyModel model;
  model.to(at::kDouble);
  const auto before = weights_of(model);
  Schedule schedule{{stage("all", {"stem", "middle", "head"}, 1)}};
  schedule.stages[0].until = after_steps(1);
  run(model, schedule);
  double squares = 0;
  for (const auto& [name, tensor] : weights_of(model)) {
    squares += (tensor - before.at(name)).pow(2).sum().item().toDouble();
  }
  EXPECT_NEAR(std::sqrt(squares), kRate * 1e-3, 1e-7);
  EXPECT_GT(recorder_.steps[0].gradient_norm, 1e-3);
}

}  // namespace
}  // namespace thaw
