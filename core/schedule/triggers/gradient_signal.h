#pragma once

#include <cstdint>
#include <optional>

#include "core/schedule/schedule_state.h"

namespace thaw {

/// One step of a gradient signal, which policies watch too: adds a norm to those since the last
/// check, but for one that is no number, as in a step that is skipped (train.not-finite). Where
/// `every_steps` have come, that is a check: returns the relative change of their mean since the
/// check before, nothing at the first. Remembers the mean norm at the last check in `own.last`, and
/// since then the norms' `sum` and the `steps`.
std::optional<double> observe_norm(std::int64_t every_steps, double norm, TriggerState& own);

}  // namespace thaw
