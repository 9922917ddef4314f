// Note [Costs by two sizes]: how many sizes of a stage are run, by the time that there is.
#include "launch/price/cost_probe.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/sin.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "core/base/system.h"
#include "core/data/dataset.h"
#include "core/data/memory_dataset.h"
#include "core/schedule/end_condition.h"
#include "core/schedule/schedule.h"
#include "core/tasks/task.h"
#include "launch/price/probed_steps.h"
#include "launch/run/run_setup.h"
#include "tests/core/schedule/schedule_fixture.h"
#include "tests/core/train/tiny_model.h"
#include "tests/support/small_networks.h"
#include "tests/support/training.h"

namespace thaw {
namespace {

/// Notes how many samples each forward of the whole model has.
class SizesModel : public TinyModel {
 public:
  at::Tensor run(std::size_t first, std::size_t last, at::Tensor input,
                 const Batch& batch) override {
    if (first == 0) sizes.push_back(batch.inputs.size(0));
    return TinyModel::run(first, last, std::move(input), batch);
  }
  std::vector<std::int64_t> sizes;
};

/// Keeps a mebibyte of each sample for the backward of its last group.
class LargeModel : public TinyModel {
 public:
  static constexpr std::int64_t kBytes = 1 << 20;
  at::Tensor run(std::size_t first, std::size_t last, at::Tensor input,
                 const Batch& batch) override {
    const at::Tensor hidden = TinyModel::run(first, last, std::move(input), batch);
    if (last < groups().size()) return hidden;
    const at::Tensor wide =
        hidden.mean(1, /*keepdim=*/true).expand({hidden.size(0), kBytes / 4}).contiguous();
    return hidden + at::sin(wide).mean(1, /*keepdim=*/true);
  }
};

RunSetup setup_of(const std::shared_ptr<Model>& model) {
  RunSetup setup;
  setup.model = model;
  setup.dataset = std::make_shared<Dataset>(
      make_memory_dataset({{.name = "train",
                            .inputs = at::randn({40, 1, 2, 2}),
                            .labels = at::arange(40, at::kLong).remainder(3),
                            .offsets = {}}}));
  setup.task = make_task(*setup.dataset);
  return setup;
}

Schedule two_stages() {
  return {{make_stage("head", {"head"}, after_steps(9)),
           make_stage("all", {"stem", "middle", "head"}, after_steps(9))}};
}

/// Whether the system lets the peak be reset.
bool peak_can_be_reset() {
  {
    const std::vector<char> most(64 << 20, 1);
    if (most.back() == 0) return false;  // it is not left out
  }
  const std::int64_t before = peak_resident_bytes();
  reset_peak_resident();
  return peak_resident_bytes() != before;
}

struct Probed {
  MeasuredCosts costs;
  std::vector<std::int64_t> sizes;  ///< of all steps, in order
};

Probed probe(const CostProbeLimits& limits) {
  const auto model = std::make_shared<SizesModel>();
  const RunSetup setup = setup_of(model);
  const MeasuredCosts costs = measure_stage_costs(setup, two_stages(), limits);
  return {costs, model->sizes};
}

bool has(const std::vector<std::int64_t>& sizes, std::int64_t wanted) {
  return std::ranges::find(sizes, wanted) != sizes.end();
}

TEST(CostProbe, RunsEachStageWithTwoSizes) {
  const Probed probed = probe({.samples = 16, .seconds = 10});
  EXPECT_EQ(probed.costs.samples, 16);
  EXPECT_TRUE(has(probed.sizes, 8) && has(probed.sizes, 16));
  EXPECT_EQ(probed.costs.stages.size(), 2U);
}

// No time at all: the least sizes, of which the second is left out, so that all that a group costs
// is its samples'.
TEST(CostProbe, LeavesTheSecondSizeOutWhereItIsLate) {
  const Probed probed = probe({.samples = 16, .seconds = 0});
  EXPECT_EQ(probed.costs.samples, 2);
  EXPECT_FALSE(has(probed.sizes, 2));
  EXPECT_TRUE(has(probed.sizes, 1));
  for (const StageCosts& stage : probed.costs.stages) {
    for (const GroupCosts& group : stage.groups) {
      EXPECT_EQ(group.forward.fixed, 0) << stage.stage << ", " << group.name;
      EXPECT_EQ(group.backward.fixed, 0) << stage.stage << ", " << group.name;
    }
    EXPECT_GT(stage.groups.back().forward.per_sample, 0) << stage.stage;
  }
}

/// Two of three groups at a time.
Stage drawn_stage() {
  Stage stage = make_stage("drawn", {"stem", "middle", "head"}, after_steps(9));
  stage.policy = policy_of("{ kind = \"random\", groups = 1, always = [\"head\"] }", stage.groups);
  return stage;
}

TEST(CostProbe, APolicysStageIsItsFirstSegment) {
  const RunSetup setup = setup_of(std::make_shared<TinyModel>());
  const Stage stage = drawn_stage();
  const std::vector<std::string> first = probed_stage(stage).groups;
  ASSERT_EQ(first.size(), 2U);
  const MeasuredCosts costs =
      measure_stage_costs(setup, Schedule{{stage}}, {.samples = 4, .seconds = 1});
  std::set<std::string> active, rest;
  const auto group = [](const std::string& name) { return name.substr(0, name.find('.')); };
  for (const GradientCosts& each : costs.stages[0].gradients) active.insert(group(each.entry.name));
  for (const RestingParameter& each : costs.stages[0].resting) rest.insert(group(each.name));
  EXPECT_EQ(active, std::set<std::string>(first.begin(), first.end()));
  ASSERT_EQ(rest.size(), 1U);
  EXPECT_FALSE(active.contains(*rest.begin())) << "the third";
  EXPECT_EQ(probed_stage(two_stages().stages[1]).groups.size(), 3U) << "without a policy: all";
}

TEST(CostProbe, RowsAreCountedUpToTheLargestBatchThatIsAsked) {
  RunSetup setup;
  setup.model = small_network(/*text=*/true, /*layers=*/1, /*classes=*/3);
  setup.dataset = std::make_shared<Dataset>(
      make_memory_dataset({small_split(/*text=*/true, "train", /*samples=*/40, /*classes=*/3)}));
  setup.task = make_task(*setup.dataset);
  setup.document.configuration.data.batch = 4;
  const Schedule schedule{
      {make_stage("head", {setup.model->groups().back().name}, after_steps(9))}};
  const auto most = [&](std::int64_t largest) {
    return measure_stage_costs(setup, schedule,
                               {.samples = 4, .seconds = 60, .largest_batch = largest})
        .stages[0]
        .touched.back()
        .samples;
  };
  EXPECT_EQ(most(16), 16);
  EXPECT_EQ(most(0), 4) << "the configured one";
}

/// Memory that larger steps before have left is not taken for what smaller ones need: else what
/// samples take would vanish from the second kind of stage on.
TEST(CostProbe, EachStagesActivationsAreItsOwn) {
  if (!peak_can_be_reset()) GTEST_SKIP() << "the system does not let the peak be reset";
  keep_freed_memory();  // as the command does
  const RunSetup setup = setup_of(std::make_shared<LargeModel>());
  const MeasuredCosts costs =
      measure_stage_costs(setup, two_stages(), {.samples = 32, .seconds = 600});
  ASSERT_EQ(costs.stages.size(), 2U);
  for (const StageCosts& stage : costs.stages) {
    EXPECT_GE(stage.memory.activations.per_sample, LargeModel::kBytes / 2) << stage.stage;
  }
}

/// A forecast adds gradients and state itself.
TEST(CostProbe, GradientsAndStateAreNoActivations) {
  constexpr std::int64_t kResident = 1000, kHeld = 800;
  const auto peak = [](std::int64_t samples) {
    return ProbedPeak{samples, kResident + kHeld + 40 + 10 * samples, kHeld};
  };
  EXPECT_EQ(activations_of(peak(8), peak(16), kResident), (LinearCost{40, 10}));
  EXPECT_EQ(activations_of({8, kResident + 10, kHeld}, {16, kResident + 20, kHeld}, kResident),
            (LinearCost{0, 0}))
      << "never less than nothing";
}

TEST(CostProbe, HeldAreGradientsAndStateOfWhatIsActive) {
  const RunSetup setup = setup_of(std::make_shared<TinyModel>());
  ProbedSteps steps(setup);
  const Schedule schedule = two_stages();
  for (const Stage& stage : schedule.stages) {
    steps.enter(stage);
    const SizedCosts costs = steps.measure(4, 0);
    const std::int64_t gradients = 4 * steps.plan().elements();
    EXPECT_EQ(costs.held_bytes, gradients + steps.state_bytes()) << stage.name;
  }
}

}  // namespace
}  // namespace thaw
