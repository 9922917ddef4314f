#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "core/config/problems.h"
#include "core/config/setting.h"
#include "core/schedule/schedule.h"

namespace thaw {

/// Reads the table `[[schedule.stage]]` number `index` (from 0) for a model with these groups and
/// data with or without a validation split.
/// Returns nothing after adding what is wrong to `problems`.
std::optional<Stage> read_stage(const Setting& setting, std::size_t index,
                                const std::vector<std::string>& model_groups, bool has_validation,
                                Problems& problems);

}  // namespace thaw
