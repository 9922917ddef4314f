#pragma once

#include "core/base/json_fields.h"
#include "core/schedule/schedule_state_json.h"

namespace thaw {

/// What a checkpoint would give back of `state`.
inline ScheduleState written_and_read(const ScheduleState& state) {
  return value_from_json<ScheduleState>(nlohmann::ordered_json(state).dump(), "state");
}

}  // namespace thaw
