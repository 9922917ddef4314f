#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "core/schedule/schedule.h"
#include "core/schedule/schedule_state.h"

namespace thaw {

class StagePlan;

/// How long a run can become.
struct RunLength {
  std::int64_t steps_left = 0;         ///< at most, from here to the end of the last stage
  bool may_be_fewer = false;           ///< something else than progress may end one of these stages
  std::vector<std::int64_t> by_stage;  ///< `steps_left` of each stage from the state's on
};

/// Of a run in `state` that has consumed `cursor` samples; nothing where a stage has no length to
/// be known. In constant time a stage. Pure.
std::optional<RunLength> run_length_left(const Schedule& schedule, const ScheduleState& state,
                                         std::int64_t cursor, std::int64_t train_samples,
                                         std::int64_t global_batch);

/// What a step of a stage takes beside steps of other stages, from the seconds that forward takes
/// of each of the model's own groups: backward takes as much again from the cut on, and once more
/// where gradients of weights are wanted. Pure.
double step_effort(const StagePlan& plan, std::span<const double> forward_seconds);

/// The steps that are left, each counted as so many of the stage that runs as it takes. `efforts`:
/// of a step of each stage of the schedule; `now`: of one of the stage that runs. Pure.
double steps_worth(const RunLength& left, std::span<const double> efforts, double now);

}  // namespace thaw
