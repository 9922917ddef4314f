#pragma once

#include <vector>

#include "core/config/configuration.h"
#include "core/config/problems.h"
#include "core/config/setting.h"

namespace thaw {

/// Reads the tables `[[model.group]]`: each has a `name` of its own, and `parameters`, patterns of
/// parameters' names. Whether they fit a model is found when there is one.
std::vector<GroupOptions> read_groups(const Setting::Entry& entry, Problems& problems);

/// The same as TOML; "" for none.
std::string write_groups_toml(const std::vector<GroupOptions>& groups);

}  // namespace thaw
