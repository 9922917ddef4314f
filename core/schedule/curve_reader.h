#pragma once

#include <optional>
#include <string>

#include "core/config/problems.h"
#include "core/config/setting.h"
#include "core/schedule/schedule.h"

namespace thaw {

/// Reads `curve = "cosine"`, or a table `{ shape = "cosine", warmup-steps = 100, … }` that may
/// only have the keys its shape knows. `subject` is its name in messages. Returns nothing after
/// adding what is wrong to `problems`.
std::optional<Curve> read_curve(const Setting& setting, const std::string& subject,
                                Problems& problems);

}  // namespace thaw
