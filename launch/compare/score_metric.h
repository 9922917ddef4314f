#pragma once

#include <string>

#include "core/record/run_record.h"

namespace thaw {

class Task;

/// The metric that schedules are compared by: `name` is "loss", one of the task's, or "" for its
/// first. Throws InputError where it has none of this name.
ScoreMetric score_metric(const std::string& name, const Task& task);

}  // namespace thaw
