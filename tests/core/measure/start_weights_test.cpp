#include "core/measure/start_weights.h"

#include <c10/core/GradMode.h>
#include <gtest/gtest.h>

#include <cmath>

#include "core/step/frozen_prefix.h"
#include "core/step/group_clock.h"
#include "core/step/parameter_table.h"
#include "tests/core/train/tiny_model.h"
#include "tests/support/recorder.h"
#include "tests/support/training.h"

namespace thaw {
namespace {

void scale(TinyModel& model, std::size_t layer, double factor) {
  const c10::AutoGradMode no_grad(false);
  model.layer(layer).weight.mul_(factor);
  model.layer(layer).bias.mul_(factor);
}

class StartWeightsTest : public testing::Test {
 protected:
  TinyModel model_;
  ParameterTable parameters_{model_, false};
  StartWeights start_;
};

TEST_F(StartWeightsTest, MeasuresFromWhenAGroupFirstThaws) {
  start_.thaw({"head.weight", "head.bias"}, parameters_);
  scale(model_, 2, 1.5);
  start_.thaw({"head.weight", "middle.weight"}, parameters_);
  scale(model_, 1, 0.75);
  const auto distances = start_.distances(parameters_);
  ASSERT_EQ(distances.size(), 3U);
  EXPECT_EQ(distances[0], 0);
  EXPECT_NEAR(*distances[1], 0.25, 1e-6);
  EXPECT_NEAR(*distances[2], 0.5, 1e-6);
}

TEST_F(StartWeightsTest, KeepsNothingOfWhatWasNeverThawed) {
  EXPECT_EQ(start_.bytes(), 0U);
  start_.thaw({"head.weight"}, parameters_);
  EXPECT_EQ(start_.bytes(), sizeof(float) * (8 * 3 + 3));
}

TEST_F(StartWeightsTest, OfAZeroStartItIsTheNormItself) {
  scale(model_, 2, 0);
  start_.thaw({"head.weight"}, parameters_);
  const c10::AutoGradMode no_grad(false);
  model_.layer(2).bias.fill_(2);
  EXPECT_NEAR(*start_.distances(parameters_)[2], std::sqrt(12), 1e-6);
}

TEST_F(StartWeightsTest, GoesOnFromTheSameStartAndSaysWhereItIsAnother) {
  start_.thaw({"head.weight"}, parameters_);
  const auto recorded = start_.fingerprints();
  ASSERT_TRUE(recorded.has_value());

  TinyModel fresh;
  const ParameterTable table(fresh, false);
  StartWeights again;
  again.resume(recorded, table);
  scale(fresh, 2, 3);  // what the checkpoint holds
  again.thaw({"head.weight"}, table);
  EXPECT_NEAR(*again.distances(table)[2], 2, 1e-6);
  EXPECT_EQ(again.fingerprints(), recorded);

  TinyModel other;
  scale(other, 2, 1.25);
  const ParameterTable others(other, false);
  StartWeights unknown;
  unknown.resume(recorded, others);
  unknown.thaw({"head.weight", "middle.weight"}, others);
  EXPECT_FALSE(unknown.distances(others)[2].has_value());
  EXPECT_EQ(unknown.distances(others)[1], 0);
  EXPECT_EQ(unknown.fingerprints()->at("head"), recorded->at("head"));

  StartWeights earlier;  // an earlier version's checkpoint recorded nothing
  earlier.resume(std::nullopt, others);
  earlier.thaw({"head.weight"}, others);
  EXPECT_FALSE(earlier.distances(others)[0].has_value());
  EXPECT_FALSE(earlier.fingerprints().has_value());
}

TEST_F(StartWeightsTest, KeepsItsCopiesWhereARunGoesBack) {
  start_.thaw({"head.weight"}, parameters_);
  const auto recorded = start_.fingerprints();
  scale(model_, 2, 5);
  start_.resume(recorded, parameters_);
  EXPECT_NEAR(*start_.distances(parameters_)[2], 4, 1e-6);
}

TEST_F(StartWeightsTest, GradientNormsAreOfActiveGroupsAlone) {
  model_.layer(0).weight.requires_grad_(false);
  model_.layer(0).bias.requires_grad_(false);
  model_.layer(2).weight.mutable_grad() = at::ones_like(model_.layer(2).weight) * 2;
  model_.layer(2).bias.mutable_grad() = at::zeros_like(model_.layer(2).bias);
  const auto norms = gradient_norms(parameters_);
  EXPECT_FALSE(norms[0].has_value());
  EXPECT_FALSE(norms[1].has_value());
  EXPECT_NEAR(*norms[2], 2 * std::sqrt(24), 1e-6);
}

TEST(GroupClock, LeavesResultsAndGradientsAsTheyAre) {
  const TemporaryFolder folder;
  Dataset dataset = prepared_dataset(write_tiny_dataset(folder, 12, 4));
  Batch batch;
  batch.inputs = at::randn({6, 1, 2, 2});
  TinyModel timed, plain;
  for (TinyModel* model : {&timed, &plain}) {
    model->layer(0).weight.requires_grad_(false);
    model->layer(0).bias.requires_grad_(false);
  }
  GroupClock clock;
  const at::Tensor one = clock.forward(timed, 1, batch);
  clock.backward([&] { one.square().sum().backward(); });
  const at::Tensor other = forward_past_prefix(plain, 1, batch);
  other.square().sum().backward();
  EXPECT_TRUE(at::equal(one, other));
  EXPECT_TRUE(at::equal(timed.layer(1).weight.grad(), plain.layer(1).weight.grad()));
  EXPECT_FALSE(timed.layer(0).weight.grad().defined());
  ASSERT_EQ(clock.seconds().size(), 3U);
  for (const double seconds : clock.seconds()) EXPECT_GT(seconds, 0);
  // The frozen group has no backward.
  EXPECT_EQ(clock.forward_seconds()[0], clock.seconds()[0]);
  for (const std::size_t group : {1, 2}) {
    EXPECT_LT(clock.forward_seconds()[group], clock.seconds()[group]) << group;
  }
}

/// Of a stream that is captured for a graph.
class NoMark final : public WorkMark {
 public:
  bool set() override { return false; }
  bool passed() const override { return false; }
  double seconds_since(const WorkMark&) const override {
    ADD_FAILURE() << "there is nothing to read";
    return 0;
  }
};

TEST(GroupClock, TellsNothingWhereNothingCanBeMarked) {
  Batch batch;
  batch.inputs = at::randn({6, 1, 2, 2});
  TinyModel model;
  GroupClock clock([] { return std::make_unique<NoMark>(); });
  const at::Tensor loss = clock.forward(model, 0, batch).sum();
  clock.backward([&] { loss.backward(); });
  EXPECT_TRUE(clock.seconds().empty());
}

class GroupsOfARun : public testing::Test {
 protected:
  GroupsOfARun() : dataset_(prepared_dataset(write_tiny_dataset(folder_, 40, 20))) {
    training_.data.batch = 8;
    training_.schedule = {{make_stage("head", {"head"}, after_epochs(1)),
                           make_stage("all", {"stem", "middle", "head"}, after_epochs(1))}};
  }
  TemporaryFolder folder_;
  Dataset dataset_;
  Training training_;
};

TEST_F(GroupsOfARun, AreToldAtEachEvaluation) {
  TinyModel model;
  const Weights start = weights_of(model);
  Recorder recorder(&model);
  training_.run(model, dataset_, recorder);
  ASSERT_EQ(recorder.evaluations.size(), 2U);
  for (std::size_t e = 0; e < 2; ++e) {
    const EvaluationReport& report = recorder.evaluations[e];
    ASSERT_EQ(report.groups.size(), 3U);
    for (const EvaluationReport::Group& group : report.groups) {
      double moved = 0, size = 0;
      for (const char* part : {".weight", ".bias"}) {
        const at::Tensor& from = start.at(group.name + part);
        const at::Tensor& to = recorder.at_evaluations[e].at(group.name + part);
        moved += (to - from).to(at::kDouble).square().sum().item().toDouble();
        size += from.to(at::kDouble).square().sum().item().toDouble();
      }
      ASSERT_TRUE(group.moved.has_value());
      EXPECT_NEAR(*group.moved, std::sqrt(moved / size), 1e-6) << group.name;
      const bool active = e == 1 || group.name == "head";
      EXPECT_EQ(*group.moved > 0, active) << group.name;
      EXPECT_EQ(group.gradient_norm.has_value(), active) << group.name;
      EXPECT_TRUE(group.time_share.has_value()) << group.name;
    }
  }
}

TEST_F(GroupsOfARun, NormsAreThoseBeforeClipping) {
  std::vector<EvaluationReport> found;
  for (const double clip : {1e9, 1e-3}) {
    TinyModel model;
    Recorder recorder;
    training_.train.clip_norm = clip;
    training_.train.evaluate_every = 1;
    training_.run(model, dataset_, recorder);
    found.push_back(recorder.evaluations.front());  // the first step's gradients are the same
  }
  EXPECT_NEAR(*found[0].groups[2].gradient_norm, *found[1].groups[2].gradient_norm, 1e-6);
}

}  // namespace
}  // namespace thaw
