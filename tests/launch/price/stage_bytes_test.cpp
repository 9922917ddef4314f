// Bytes of gradients where no step of a rehearsal tells of any.
#include "launch/price/stage_bytes.h"

#include <gtest/gtest.h>

#include "core/schedule/stage_plan.h"
#include "core/step/parameter_table.h"
#include "launch/price/rehearsal.h"
#include "tests/core/train/tiny_model.h"
#include "tests/support/training.h"

namespace thaw {
namespace {

TEST(StageBytes, WhereAllStepsWereSkippedThePlanTells) {
  const TinyModel model;
  const ParameterTable parameters(model, false);
  const StagePlan plan = make_stage_plan(parameters.groups(), parameters.facts(),
                                         make_stage("head", {"head"}, after_steps(1)));
  const auto bytes = [&](std::int64_t ranks) {
    return bytes_of_stage({}, plan, parameters, ranks, {}).bytes;
  };
  EXPECT_EQ(bytes(1), 0);
  EXPECT_EQ(bytes(2), 4 * plan.elements());
}

}  // namespace
}  // namespace thaw
