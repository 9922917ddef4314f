#pragma once

#include <string>

#include "core/schedule/schedule.h"

namespace thaw {

struct RunSetup;

/// Lines for people: what `train.prefix-cache` can do in each stage, and how much the outputs take;
/// what it will do, a run decides by what it measures. "" where it is off. Runs the model on one
/// sample.
std::string prefix_outlook(const RunSetup& setup, const Schedule& schedule);

}  // namespace thaw
