#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "core/config/configuration_document.h"
#include "core/schedule/metrics.h"
#include "core/schedule/schedule.h"

namespace thaw {

/// The stages that a configuration describes, for a model with the groups `model_groups` (from
/// input to output; the last is the head), a training split of `train_samples` samples, and a
/// validation split or none: a metric of one that is not there is an error, and so is a metric that
/// the task does not have (`metrics`: Task::metric_names; by default the losses alone). `aliases`:
/// what else stages may call the groups, and the groups (core/schedule/toml/group_aliases.h).
///
/// A preset is written out as explicit stages first and then read like them, so both ways give the
/// identical schedule. Flags `--schedule.stage.NAME.KEY` are laid over either.
///
/// Throws InputError that lists everything wrong with the schedule, a line each:
/// `configs/a.toml:14: schedule.stage[1].groups: "encoder.7" matches no group of this model
/// (embeddings, encoder.0 … encoder.5, head)`.
Schedule resolve_schedule(const ConfigurationDocument& document,
                          const std::vector<std::string>& model_groups, std::int64_t train_samples,
                          bool has_validation = true, const MetricNames& metrics = metric_names(),
                          const std::map<std::string, std::string>& aliases = {});

/// The words that options of `[schedule]` may be which the table of options does not list, since
/// they follow from what there is in core/schedule and in the run's task: presets, curves, metrics.
/// By the options' names, "schedule.curve".
std::map<std::string, std::vector<std::string>> schedule_choices(const MetricNames& metrics);

}  // namespace thaw
