#pragma once

#include <vector>

#include "core/config/configuration.h"
#include "core/config/option_table.h"
#include "core/schedule/schedule.h"

namespace thaw {

// Note [Options of a stage]
// Some options of `[train]` may be overridden by a stage, under the same key. Which ones is said by
// one list, `stage_options()`: the reader of stages takes their types and bounds from the table of
// options, the writer writes them in this order, the plan's fingerprint covers the values that come
// of them, and whoever trains asks `resolve` what holds in the stage.

/// The options of `[train]` that a stage may override, in the order in which stages are written.
const std::vector<const Option*>& stage_options();

/// What holds in `stage`: `train` with the stage's own options in place, and the optimizer's own
/// defaults. Pure.
/// Throws InputError where the stage overrides what it may not, or by a value that is not allowed.
TrainOptions resolve(const TrainOptions& train, const Stage& stage);

}  // namespace thaw
