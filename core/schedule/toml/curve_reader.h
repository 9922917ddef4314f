#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/config/problems.h"
#include "core/config/setting.h"
#include "core/schedule/schedule.h"

namespace thaw {

/// The keys that the table of a curve may have, whatever its shape.
std::vector<std::string> curve_key_names();

/// Reads `curve = "cosine"`, or a table `{ shape = "cosine", warmup-steps = 100, … }` that may
/// only have the keys its shape knows; its `steps` are a number, or a table of groups' names and
/// patterns, of which the first in the file's order that matches a group gives its length.
/// `"continued"` is the curve of the stage before, `before` (null where there is none), going on.
/// `subject` is its name in messages. Returns nothing after adding what is wrong to `problems`.
std::optional<Curve> read_curve(const Setting& setting, const std::string& subject,
                                const Curve* before, const std::vector<std::string>& model_groups,
                                Problems& problems);

}  // namespace thaw
