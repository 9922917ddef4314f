// What a rehearsal tells of stages whose policy chooses groups, and what it evaluates.
#include "launch/price/rehearsal.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include <memory>

#include "core/data/dataset.h"
#include "core/data/memory_dataset.h"
#include "core/parallel/one_rank.h"
#include "core/step/parameter_table.h"
#include "core/tasks/task.h"
#include "launch/run/run_setup.h"
#include "tests/core/schedule/schedule_fixture.h"
#include "tests/core/train/tiny_model.h"
#include "tests/support/training.h"

namespace thaw {
namespace {

const std::vector<std::string> kGroups = {"stem", "middle", "head"};

constexpr const char* kRandom =
    "{ kind = \"random\", groups = 1, every-steps = 5, always = [\"head\"] }";

/// Of all groups, of which one beside the head is drawn every five steps.
Stage drawn(const std::string& policy = kRandom) {
  Stage stage = make_stage("drawn", kGroups, after_steps(13), 1e-9);
  stage.policy = policy_of(policy, kGroups);
  return stage;
}

MemorySplit images(const std::string& name, std::int64_t samples) {
  return {.name = name,
          .inputs = at::randn({samples, 1, 2, 2}),
          .labels = at::arange(samples, at::kLong).remainder(3),
          .offsets = {}};
}

RunSetup tiny_setup() {
  RunSetup setup;
  setup.model = std::make_shared<TinyModel>();
  setup.dataset = std::make_shared<Dataset>(
      make_memory_dataset({images("train", 40), images("validation", 8)}));
  setup.task = make_task(*setup.dataset);
  return setup;
}

TEST(Rehearsal, SegmentsOfAPolicyAreStepsOfItsStage) {
  const RunSetup setup = tiny_setup();
  const auto alone = make_self_communicator();
  DataOptions data;
  data.batch = 4;
  TrainOptions train;
  train.prefix_cache = PrefixCacheUse::kOff;
  const Schedule schedule{{drawn(), make_stage("head", {"head"}, after_steps(4), 1e-9)}};
  const std::vector<RehearsedStage> rows = rehearse({setup, schedule, data, train}, *alone);
  ASSERT_EQ(rows.size(), 2U);
  EXPECT_EQ(rows[0].steps.size(), 13U);
  EXPECT_EQ(rows[1].steps.size(), 4U);
  EXPECT_EQ(rows[1].name, "head");
  for (const RehearsedStage& row : rows) {
    EXPECT_GT(row.evaluation_seconds, 0) << row.name;
    EXPECT_GT(row.peak_memory_bytes, 0) << row.name;
    for (const RehearsedStep& step : row.steps) EXPECT_EQ(step.load, 4) << row.name;
  }
}

TEST(FullestGroups, AsManyAsAreChosenAtOnce) {
  const TinyModel model;  // of 40, 72 and 27 parameters
  const ParameterTable parameters(model, false);
  using Groups = std::vector<std::string>;
  EXPECT_EQ(fullest_groups(drawn(), parameters, Fullest::kLargest), (Groups{"middle", "head"}));
  EXPECT_EQ(fullest_groups(drawn(), parameters, Fullest::kDeepest), (Groups{"stem", "head"}));
  const Stage freezes = drawn("{ kind = \"auto-freeze\" }");
  EXPECT_EQ(fullest_groups(freezes, parameters, Fullest::kLargest), kGroups);
  const Stage plain = make_stage("plain", {"head"}, after_steps(1));
  EXPECT_EQ(fullest_groups(plain, parameters, Fullest::kDeepest), Groups{"head"});
}

TEST(StagesForMemory, TheFirstChoiceAndTheFullest) {
  const TinyModel model;
  const ParameterTable parameters(model, false);
  const std::vector<Stage> stages = stages_for_memory(drawn(), parameters);
  EXPECT_EQ(stages.back().groups, (std::vector<std::string>{"stem", "head"}));
  for (const Stage& stage : stages) {
    EXPECT_FALSE(stage.policy) << stage.name;
    EXPECT_EQ(stage.learning_rates.size(), stage.groups.size()) << stage.name;
  }
  EXPECT_EQ(stages_for_memory(drawn("{ kind = \"auto-freeze\" }"), parameters).size(), 1U);
}

TEST(WithFullest, TheFullestChoicesMemoryIsTheStages) {
  RehearsedStage own{.name = "own", .steps = {{.load = 9}}, .peak_memory_bytes = 100};
  const RehearsedStage fullest{
      .name = "own/fullest", .steps = {{.load = 7}, {.load = 8}}, .peak_memory_bytes = 120};
  const RehearsedStage next{.name = "next", .peak_memory_bytes = 110};
  std::vector<RehearsedStage> rows = with_fullest({own, fullest, next}, {false, true, false});
  ASSERT_EQ(rows.size(), 2U);
  EXPECT_EQ(rows[0].peak_memory_bytes, 120);
  EXPECT_EQ(rows[0].peak_load, 8);
  EXPECT_EQ(rows[0].steps.size(), 1U);
  EXPECT_EQ(rows[1].name, "next");
  own.peak_memory_bytes = 130;
  rows = with_fullest({own, fullest, next}, {false, true, false});
  EXPECT_EQ(rows[0].peak_memory_bytes, 130);
  EXPECT_EQ(rows[0].peak_load, 0);
  EXPECT_TRUE(with_fullest({}, {false, true}).empty()) << "of another rank than 0";
}

/// Sample i has i + 1 tokens.
MemorySplit texts(const std::string& name, std::int64_t samples) {
  at::Tensor ends = at::zeros({samples + 1}, at::kLong);
  auto* const end = ends.mutable_data_ptr<std::int64_t>();
  for (std::int64_t i = 0; i < samples; ++i) end[i + 1] = end[i] + i + 1;
  return {.name = name,
          .inputs = at::zeros({samples * (samples + 1) / 2}, at::kInt),
          .labels = at::zeros({samples}, at::kLong),
          .offsets = ends};
}

std::vector<std::int64_t> evaluated_lengths(const DataOptions& data) {
  RunSetup setup;
  setup.dataset =
      std::make_shared<Dataset>(make_memory_dataset({texts("train", 8), texts("validation", 40)}));
  narrow_for_rehearsal(setup, data, /*batches=*/2);
  const Split& left = setup.dataset->split("validation");
  std::vector<std::int64_t> lengths;
  for (std::int64_t i = 0; i < left.size(); ++i) lengths.push_back(left.elements(i));
  return lengths;
}

TEST(Rehearsal, EvaluatesTheLongestSamplesAndAWholeBatchOfThem) {
  DataOptions data;
  data.batch = 2;
  EXPECT_EQ(evaluated_lengths(data), (std::vector<std::int64_t>{37, 38, 39, 40}));
  data.evaluation_batch = 1;
  EXPECT_EQ(evaluated_lengths(data), (std::vector<std::int64_t>{39, 40}));
  data.evaluation_batch = 16;
  EXPECT_EQ(evaluated_lengths(data).size(), 16U);
  EXPECT_EQ(evaluated_lengths(data).front(), 25);
  data.evaluation_batch = 1000;
  EXPECT_EQ(evaluated_lengths(data).size(), 40U);
}

}  // namespace
}  // namespace thaw
