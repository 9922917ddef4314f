#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/schedule/schedule.h"

namespace thaw {

/// "train/loss", "validation/loss", "validation/accuracy", "validation/macro-f1".
///
/// `train/loss` at an evaluation is the mean over all samples trained since the last one.
const std::vector<std::string>& metric_names();

/// Whether less of it is better (losses), or more (all others).
MetricRule::Mode natural_mode(std::string_view metric);

/// Whether the metric comes from the validation split.
bool needs_validation(std::string_view metric);

/// "min" or "max".
std::string_view name_of(MetricRule::Mode mode);

}  // namespace thaw
