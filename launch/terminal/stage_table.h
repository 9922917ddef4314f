#pragma once

#include <cstddef>
#include <string>

#include "core/schedule/schedule.h"

namespace thaw {

struct RunSetup;

/// Two tables of at most so many columns with a row for each stage: its groups, learning rates and
/// end; then active parameters, where backward stops, and what a step computes and sends. Measures
/// operations by training steps that leave the weights as they are, but not the running statistics
/// of BatchNorms (see measure_flops).
std::string stage_table(const RunSetup& setup, const Schedule& schedule, std::size_t columns);

}  // namespace thaw
