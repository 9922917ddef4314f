// Note [Costs by two sizes]: how many sizes of a stage are run, by the time that there is.
#include "launch/price/cost_probe.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/randn.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>

#include "core/data/dataset.h"
#include "core/data/memory_dataset.h"
#include "core/schedule/end_condition.h"
#include "core/schedule/schedule.h"
#include "core/tasks/task.h"
#include "launch/run/run_setup.h"
#include "tests/core/train/tiny_model.h"
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

struct Probed {
  MeasuredCosts costs;
  std::vector<std::int64_t> sizes;  ///< of all steps, in order
};

Probed probe(const CostProbeLimits& limits) {
  RunSetup setup;
  const auto model = std::make_shared<SizesModel>();
  setup.model = model;
  setup.dataset = std::make_shared<Dataset>(
      make_memory_dataset({{.name = "train",
                            .inputs = at::randn({40, 1, 2, 2}),
                            .labels = at::arange(40, at::kLong).remainder(3),
                            .offsets = {}}}));
  setup.task = make_task(*setup.dataset);
  const Schedule schedule{{make_stage("head", {"head"}, after_steps(9)),
                           make_stage("all", {"stem", "middle", "head"}, after_steps(9))}};
  const MeasuredCosts costs = measure_stage_costs(setup, schedule, limits);
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

}  // namespace
}  // namespace thaw
