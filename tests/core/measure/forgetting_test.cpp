#include "core/measure/forgetting.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/eye.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/ones.h>
#include <gtest/gtest.h>

#include <cmath>

#include "core/base/error.h"
#include "core/data/loading/training_loader.h"
#include "core/measure/similarity.h"
#include "core/parallel/one_rank.h"
#include "core/parallel/stage_coordinator.h"
#include "core/schedule/schedule.h"
#include "core/tasks/registry.h"
#include "core/tasks/task.h"
#include "tests/core/models/resnet_fixture.h"
#include "tests/core/train/tiny_model.h"
#include "tests/support/peak_bytes.h"
#include "tests/support/training.h"

namespace thaw {
namespace {

at::Tensor rows(const char* name, std::int64_t n, std::int64_t width) {
  return fixture_uniform(name, 1, {n, width}, -1, 1).to(at::kDouble);
}

TEST(LinearCka, IsOneForARotatedAndScaledCopy) {
  const at::Tensor a = rows("a", 40, 3);
  // An orthogonal matrix with determinant 1.
  const double c = std::cos(0.7), s = std::sin(0.7);
  at::Tensor rotation = at::eye(3, at::kDouble);
  rotation[0][0] = c, rotation[0][1] = -s, rotation[1][0] = s, rotation[1][1] = c;
  EXPECT_NEAR(linear_cka(a, at::mm(a, rotation) * 7 + 2), 1, 1e-12);
  EXPECT_LT(linear_cka(a, rows("b", 40, 3)), 0.5);
  EXPECT_NEAR(linear_cka(a, at::cat({a, rows("c", 40, 3) * 1e-4}, 1)), 1, 1e-4);
  EXPECT_TRUE(std::isnan(linear_cka(a, at::ones({40, 2}, at::kDouble))));
}

class ForgettingTest : public testing::Test {
 protected:
  ForgettingTest()
      : dataset_(std::make_shared<Dataset>(prepared_dataset(write_tiny_dataset(folder_, 40, 20)))) {
    model_.eval();
  }

  /// The source task: the same samples, under a head of its own.
  SourceTask source() const {
    auto model = std::make_shared<TinyModel>();
    const c10::AutoGradMode no_grad(false);
    model->layer(2).weight.mul_(-1);
    return {
        .model = model, .dataset = dataset_, .split = "validation", .task = make_task(*dataset_)};
  }

  void train(Forgetting& forgetting, const Schedule& schedule) {
    Training training{.schedule = schedule, .forgetting = &forgetting};
    training.data.batch = 8;
    training.run(model_, *dataset_, recorder_);
  }

  TemporaryFolder folder_;
  std::shared_ptr<Dataset> dataset_;
  TinyModel model_;
  Recorder recorder_;
};

TEST_F(ForgettingTest, MeasuresAtEachBoundaryWhatMoved) {
  const auto communicator = make_self_communicator();
  Forgetting forgetting(model_, source(), *dataset_, {.evaluation = {}, .samples = 30});
  forgetting.start(*communicator);
  train(forgetting, {{make_stage("head", {"head"}, after_epochs(1)),
                      make_stage("middle", {"middle"}, after_epochs(1))}});
  ASSERT_EQ(recorder_.forgettings.size(), 3U);
  const ForgettingReport& first = recorder_.forgettings[0];
  EXPECT_EQ(first.samples, 20);
  for (const ForgettingReport::Group& group : first.groups) {
    EXPECT_EQ(group.distance, 0) << group.name;
    EXPECT_NEAR(group.similarity, 1, 1e-9) << group.name;
  }
  // A new head is not the source task's.
  const ForgettingReport& after_head = recorder_.forgettings[1];
  EXPECT_EQ(after_head.stage, "head");
  EXPECT_DOUBLE_EQ(after_head.loss, first.loss);
  EXPECT_EQ(after_head.groups[1].distance, 0);
  EXPECT_GT(after_head.groups[2].distance, 1e-3);
  const ForgettingReport& last = recorder_.forgettings[2];
  EXPECT_EQ(last.groups[0].distance, 0);
  EXPECT_NEAR(last.groups[0].similarity, 1, 1e-9);
  EXPECT_GT(last.groups[1].distance, 1e-3);
  EXPECT_LT(last.groups[1].similarity, 1 - 1e-6);
  EXPECT_NE(last.loss, first.loss);
  ASSERT_EQ(recorder_.summaries.at(0).forgetting.size(), 2U);
  EXPECT_EQ(recorder_.summaries[0].forgetting[1].loss, last.loss);
}

TEST_F(ForgettingTest, TheSourceTaskIsMeasuredUnderItsOwnHead) {
  const auto communicator = make_self_communicator();
  Forgetting forgetting(model_, source(), *dataset_, {.evaluation = {}, .samples = 0});
  forgetting.start(*communicator);
  const ForgettingReport& report = forgetting.before();
  TinyModel expected;
  {
    const c10::AutoGradMode no_grad(false);
    expected.layer(2).weight.mul_(-1);
  }
  expected.eval();
  const auto task = make_task(*dataset_);
  const Measurement sums = evaluate(expected, *dataset_, "validation", *task, {}, *communicator);
  EXPECT_DOUBLE_EQ(report.loss, sums.mean_loss());
  EXPECT_EQ(report.figure.name, "accuracy");
  EXPECT_EQ(report.figure.value, task->figures(sums).front());
  EXPECT_EQ(report.groups[0].similarity, 0);  // not measured
}

/// Its head is its first group's weights, so its last group is no head.
class TiedModel : public TinyModel {
 public:
  std::map<std::string, std::string> group_aliases() const override { return {{"head", "stem"}}; }
};

TEST_F(ForgettingTest, TheLastGroupOfATiedNetworkIsNoHead) {
  const auto communicator = make_self_communicator();
  TiedModel tied;
  tied.eval();
  Forgetting forgetting(tied, source(), *dataset_, {.evaluation = {}, .samples = 0});
  forgetting.start(*communicator);
  // With the trained last group, not with the source's.
  const auto task = make_task(*dataset_);
  const Measurement sums = evaluate(tied, *dataset_, "validation", *task, {}, *communicator);
  EXPECT_DOUBLE_EQ(forgetting.before().loss, sums.mean_loss());
  {
    const c10::AutoGradMode no_grad(false);
    tied.layer(2).weight.mul_(3);
  }
  EXPECT_NE(forgetting.measure(*communicator).loss, forgetting.before().loss);
}

/// With one parameter that is far larger than all the others.
class LargeModel : public TinyModel {
 public:
  LargeModel() : large(layer(1).register_parameter("large", at::ones({kRows, kColumns}))) {}
  static constexpr std::int64_t kRows = 1000, kColumns = 2100;
  at::Tensor large;
};

TEST_F(ForgettingTest, ALargeParameterIsComparedInPieces) {
  const auto communicator = make_self_communicator();
  LargeModel large;
  large.eval();
  SourceTask task = source();
  task.model = std::make_shared<LargeModel>();
  Forgetting forgetting(large, std::move(task), *dataset_, {.evaluation = {}, .samples = 0});
  const double rest = large.layer(1).weight.to(at::kDouble).square().sum().item().toDouble() +
                      large.layer(1).bias.to(at::kDouble).square().sum().item().toDouble();
  {
    const c10::AutoGradMode no_grad(false);
    large.large.narrow(0, LargeModel::kRows - 1, 1).add_(3);  // in the last piece
    large.large.narrow(1, 0, 1).add_(1);                      // in each
  }
  ForgettingReport report;
  const std::int64_t peak = peak_bytes_of([&] { report = forgetting.measure(*communicator); });
  constexpr auto kMoved = 9.0 * (LargeModel::kColumns - 1) + 16 + (LargeModel::kRows - 1);
  constexpr auto kSize = static_cast<double>(LargeModel::kRows * LargeModel::kColumns);
  EXPECT_NEAR(report.groups[1].distance, std::sqrt(kMoved / (kSize + rest)), 1e-12);
  EXPECT_EQ(report.groups[0].distance, 0);
  EXPECT_LT(peak, LargeModel::kRows * LargeModel::kColumns * 8) << "a float64 copy of all of it";
}

class OtherModel : public TinyModel {
 public:
  OtherModel() { layer(1).register_parameter("extra", at::ones({2})); }
};

TEST_F(ForgettingTest, RefusesAnotherNetwork) {
  OtherModel other;
  EXPECT_THROW(Forgetting(other, source(), *dataset_, {.evaluation = {}, .samples = 0}),
               InputError);
}

}  // namespace
}  // namespace thaw
