#pragma once

#include <string>

#include "core/config/configuration.h"
#include "core/schedule/schedule.h"

namespace thaw {

/// The stages as explicit TOML, `[[schedule.stage]]` each, for `thaw schedule`.
/// Read back with the same model, it gives the identical schedule.
std::string write_schedule_toml(const Schedule& schedule);

/// Everything a run does as TOML, with every option and every stage explicit. Read back with the
/// same model, it gives the identical configuration and schedule.
std::string write_configuration_toml(const Configuration& configuration, const Schedule& schedule);

}  // namespace thaw
