#pragma once

#include <string>
#include <vector>

#include "core/schedule/schedule.h"
#include "core/schedule/schedule_state.h"

namespace thaw {

/// The learning rate of each of `stage.groups` in the step to come: its own rate times the curve's
/// factor; times what its policy makes of it; times (t + 1) / (w + 1) in step t < w since a
/// transition thawed it, with w the stage's `thawed_warmup_steps`; and at most `thawed_rate_cap`
/// where it was frozen in the run's first stage.
std::vector<double> group_rates(const Stage& stage, const ScheduleState& state);

/// Whether groups of the stage that share a rate may have different ones in a step, so that each
/// needs an optimizer call of its own.
bool rates_part_by_group(const Stage& stage);

}  // namespace thaw
