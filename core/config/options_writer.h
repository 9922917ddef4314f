#pragma once

#include <string>

#include "core/config/configuration.h"

namespace thaw {

/// Every option of every section but `[schedule]` as TOML, in the order of the table of options.
std::string write_options_toml(const Configuration& configuration);

}  // namespace thaw
