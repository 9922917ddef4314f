#include "core/schedule/replay.h"

#include <fmt/format.h>

#include "core/base/error.h"
#include "core/schedule/curves/curve.h"
#include "core/schedule/policies/policy.h"
#include "core/schedule/schedule_run.h"

namespace thaw {
namespace {

Stage explicit_stage(const Stage& planned, const HappenedStage& happened, std::int64_t steps) {
  Stage stage = with_groups(planned, happened.groups);
  if (stage.groups.size() != happened.groups.size()) {
    throw InputError(fmt::format(
        "stage \"{}\" of the run had groups that its schedule does not name", happened.name));
  }
  if (planned.policy && planned.policy->scales_rates()) {
    throw InputError(fmt::format(
        "stage \"{}\" had rates that followed its gradients (policy \"{}\"), which no explicit "
        "stage can write; the run itself is repeated by its own configuration",
        planned.name, planned.policy->name()));
  }
  stage.name = happened.name;
  stage.policy = {};
  stage.until = after_steps(steps);
  return stage;
}

/// Says how long a curve is that took its length from stages. Where some groups have lengths of
/// their own, so must all others then.
void fix_length(Curve& curve, const Schedule& planned, std::int64_t steps) {
  if (curve.group_steps.empty()) {
    curve.steps = steps;
    return;
  }
  for (const Stage& stage : planned.stages) {
    for (const std::string& group : stage.groups) curve.group_steps.try_emplace(group, steps);
  }
}

}  // namespace

Schedule replay_of(const Schedule& planned, const std::vector<HappenedStage>& happened,
                   std::int64_t steps) {
  Schedule schedule;
  std::size_t last_index = planned.stages.size();
  for (std::size_t i = 0; i < happened.size(); ++i) {
    const HappenedStage& each = happened[i];
    if (each.index >= planned.stages.size()) {
      throw InputError(fmt::format("the run had a stage {}, and its schedule has {} stages",
                                   each.index + 1, planned.stages.size()));
    }
    const std::int64_t end = i + 1 < happened.size() ? happened[i + 1].step : steps;
    if (end <= each.step) continue;  // the run ended before its first step
    Stage stage = explicit_stage(planned.stages[each.index], each, end - each.step);
    // The first of a curve says how long it is; the others go on with it.
    const bool goes_on = stage.curve.continued || each.index == last_index;
    if (goes_on && !schedule.stages.empty()) {
      stage.curve = schedule.stages.back().curve;
      stage.curve.continued = true;
    } else if (needs_length(stage.curve)) {
      fix_length(stage.curve, planned, each.curve_steps);
    }
    last_index = each.index;
    schedule.stages.push_back(std::move(stage));
  }
  return schedule;
}

}  // namespace thaw
