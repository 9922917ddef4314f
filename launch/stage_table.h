#pragma once

#include <string>

#include "core/schedule/schedule.h"

namespace thaw {

struct RunSetup;

/// A row for each stage: groups, active parameters, where backward stops, bytes a step, learning
/// rates, how it ends; and how long all of it takes.
std::string stage_table(const RunSetup& setup, const Schedule& schedule);

}  // namespace thaw
