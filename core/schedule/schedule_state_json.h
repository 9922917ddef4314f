#pragma once

#include <nlohmann/json_fwd.hpp>

#include "core/schedule/schedule_state.h"

namespace thaw {

// What of a schedule's state is written, and how: Note [Described values]. Exact: what is read back
// is equal, infinities and all bits of numbers included.

void to_json(nlohmann::ordered_json& json, const StageProgress& progress);
void from_json(const nlohmann::ordered_json& json, StageProgress& progress);

void to_json(nlohmann::ordered_json& json, const TriggerState& state);
void from_json(const nlohmann::ordered_json& json, TriggerState& state);

void to_json(nlohmann::ordered_json& json, const ScheduleState& state);
void from_json(const nlohmann::ordered_json& json, ScheduleState& state);

}  // namespace thaw
