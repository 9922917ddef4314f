#include "core/tasks/registry.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "core/base/error.h"
#include "core/base/suggest.h"
#include "core/config/configuration.h"
#include "core/data/dataset.h"
#include "core/schedule/schedule.h"
#include "core/schedule/stage_options.h"
#include "core/tasks/task.h"

namespace thaw {

#define THAW_TASK(type, room, name) TaskEntry room##_task();
#include "core/config/tasks.inc"
#undef THAW_TASK

namespace {

/// In the order of TaskKind, without kAuto.
const std::vector<TaskEntry>& entries() {
  static const std::vector<TaskEntry> list = {
#define THAW_TASK(type, room, name) room##_task(),
#include "core/config/tasks.inc"
#undef THAW_TASK
  };
  return list;
}

const TaskEntry& entry_of(TaskKind kind) {
  return entries().at(static_cast<std::size_t>(kind) - 1);
}

TaskKind kind_at(std::size_t index) { return static_cast<TaskKind>(index + 1); }

/// What the files name.
TaskKind named_task(const Dataset& dataset) {
  if (dataset.task().empty()) return TaskKind::kAuto;
  const auto kind = named<TaskKind>(dataset.task());
  if (kind && *kind != TaskKind::kAuto) return *kind;
  const std::vector<std::string> known(kTaskNames.begin() + 1, kTaskNames.end());
  const std::string nearest = nearest_name(dataset.task(), known);
  throw InputError(
      fmt::format("{}: attribute \"task\" is \"{}\", which is none of {}{}",
                  dataset.files().front(), dataset.task(), fmt::join(known, ", "),
                  nearest.empty() ? "" : fmt::format("; did you mean \"{}\"?", nearest)));
}

const Labels& first_labels(const Dataset& dataset) {
  return dataset.split(dataset.split_names().front()).labels();
}

/// Text without labels is learnt from only where that is meant: else they may have been forgotten.
void require_meant(const Dataset& dataset) {
  if (dataset.label_type() != LabelType::kPrompts || first_labels(dataset).prompts().said) return;
  throw InputError(fmt::format(
      "{}: /{} holds no labels: give \"labels\" (of each sample), \"token_labels\" (a class for "
      "each "
      "token), or \"prompt_lengths\" (what follows a prompt is learnt); where it is running text "
      "to "
      "be learnt as it goes on, say so by attribute \"task\" = \"causal-lm\" or task.kind = "
      "\"causal-lm\"",
      dataset.files().front(), dataset.split_names().front()));
}

/// The first that learns from labels as they are.
TaskKind fitting_task(const Dataset& dataset) {
  require_meant(dataset);
  std::vector<std::string> known;
  for (std::size_t i = 0; i < entries().size(); ++i) {
    if (entries()[i].labels == dataset.label_type()) return kind_at(i);
    known.push_back(fmt::format("{}: {}", name_of(kind_at(i)), entries()[i].in_words));
  }
  throw InputError(fmt::format("{}: no task learns from labels {} ({})", dataset.files().front(),
                               first_labels(dataset).describe_type(), fmt::join(known, "; ")));
}

}  // namespace

std::shared_ptr<const Task> make_task(const Dataset& dataset, TaskKind kind) {
  const TaskKind said = named_task(dataset);
  if (kind != TaskKind::kAuto && said != TaskKind::kAuto && kind != said) {
    throw InputError(fmt::format("task.kind: is \"{}\", but {} is made for \"{}\"", name_of(kind),
                                 dataset.files().front(), name_of(said)));
  }
  if (kind == TaskKind::kAuto) kind = said;
  if (kind == TaskKind::kAuto) kind = fitting_task(dataset);
  const TaskEntry& entry = entry_of(kind);
  if (entry.labels != dataset.label_type()) {
    throw InputError(fmt::format("{}: /{}/labels are {}, but {} learns from {}",
                                 dataset.files().front(), dataset.split_names().front(),
                                 first_labels(dataset).describe_type(), name_of(kind),
                                 entry.in_words));
  }
  return entry.make(dataset);
}

OutputRows output_rows_of(std::string_view task) {
  const auto kind = named<TaskKind>(task);
  return kind && *kind != TaskKind::kAuto ? entry_of(*kind).rows : OutputRows::kSamples;
}

MetricNames all_metrics() {
  std::vector<Metric> all;
  for (const TaskEntry& entry : entries()) {
    for (const Metric& metric : entry.metrics) {
      const bool known = std::any_of(all.begin(), all.end(),
                                     [&](const Metric& m) { return m.name == metric.name; });
      if (!known) all.push_back(metric);
    }
  }
  return metric_names(all);
}

std::string figure_text(const Figure& figure) {
  for (const TaskEntry& entry : entries()) {
    for (const Metric& metric : entry.metrics) {
      if (metric.name == figure.name && metric.is_share()) {
        return fmt::format("{} {:.2f} %", figure.name, 100 * figure.value);
      }
    }
  }
  return fmt::format("{} {:.4f}", figure.name, figure.value);
}

void check_smoothing(const Task& task, const TrainOptions& train, const Schedule& schedule) {
  if (task.smooths_labels()) return;
  for (const Stage& stage : schedule.stages) {
    if (resolve(train, stage).label_smoothing == 0) continue;
    InputError error(fmt::format("train.label-smoothing: is not for {}", name_of(task.kind())));
    error.mark_agreed();
    throw error;
  }
}

}  // namespace thaw
