#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/config/choices.h"
#include "core/data/labels.h"
#include "core/models/family.h"
#include "core/schedule/metrics.h"

namespace thaw {

class Dataset;
class Task;
struct Schedule;
struct TrainOptions;

/// One entry of the list of tasks; each comes from its own file: Note [Tasks].
struct TaskEntry {
  LabelType labels;      ///< that it learns from
  const char* in_words;  ///< these labels: "int64 [N], a class"
  std::vector<Metric> metrics;
  /// Of a dataset whose labels are of that type.
  std::shared_ptr<const Task> (*make)(const Dataset& dataset);
  OutputRows rows = OutputRows::kSamples;  ///< as Task::output_rows of what it makes
};

/// The rows of outputs that a task, by its name, takes; kSamples for a name that is none.
OutputRows output_rows_of(std::string_view task);

/// The metrics of all tasks: those of any run are among them.
MetricNames all_metrics();
/// "accuracy 91.20 %", "rmse 0.1234": for people, of a metric of any task.
std::string figure_text(const Figure& figure);

/// Throws InputError where training would smooth labels of a task that has no such thing.
void check_smoothing(const Task& task, const TrainOptions& train, const Schedule& schedule);

}  // namespace thaw
