#pragma once

#include <cstdint>
#include <optional>

#include "core/schedule/schedule.h"
#include "core/schedule/schedule_state.h"

namespace thaw {

/// How long a run can become.
struct RunLength {
  std::int64_t steps_left = 0;  ///< at most, from here to the end of the last stage
  bool may_be_fewer = false;    ///< something else than progress may end one of these stages
};

/// Of a run in `state` that has consumed `cursor` samples; nothing where a stage has no length to
/// be known. In constant time a stage. Pure.
std::optional<RunLength> run_length_left(const Schedule& schedule, const ScheduleState& state,
                                         std::int64_t cursor, std::int64_t train_samples,
                                         std::int64_t global_batch);

}  // namespace thaw
