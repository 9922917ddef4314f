#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/schedule/schedule.h"
#include "core/schedule/schedule_state.h"
#include "core/schedule/triggers/trigger.h"

namespace thaw {

// What can be asked of, and told to, a tree of triggers.

TriggerNeeds needs_of(const EndCondition& until);

/// Trigger states of a stage that begins, of the leaves from left to right.
std::vector<TriggerState> fresh_triggers(const EndCondition& until);

/// A step was committed: the progress of `state`, and what triggers remember.
void observe_step(const EndCondition& until, const StepValues& values, ScheduleState& state);

/// It was time for an evaluation; `metrics`, without `train/loss`, is empty where there is no
/// validation split.
void observe_evaluation(const EndCondition& until, const MetricValues& metrics,
                        ScheduleState& state);

/// Whether the stage is over.
bool stage_ended(const EndCondition& until, const ScheduleState& state, std::int64_t train_samples);

/// The most steps that a stage which begins at `start_cursor` can have, in constant time; at least
/// 1. Nothing where only a metric, a clock or a gradient ends it. Where `length_is_known`, that is
/// its number of steps: the least n for which `stage_ended` holds after n steps.
///
/// `epochs = k` ends with the first step at which k·N samples have been consumed since the stage's
/// start. A stage that began inside an epoch may pass that by less than a batch.
std::optional<std::int64_t> steps_of_stage(const EndCondition& until, std::int64_t start_cursor,
                                           std::int64_t train_samples, std::int64_t global_batch);

/// Whether the number of steps is known beforehand: nothing but progress ends the stage.
bool length_is_known(const EndCondition& until);

/// What is wrong with one of its lengths, "" where nothing is: it comes to less than a sample, or
/// to more than can be counted.
std::string wrong_length(const EndCondition& until, std::int64_t train_samples,
                         std::int64_t global_batch);

/// The condition as TOML: `{ any = [{ epochs = 3.0 }, { plateau = { … } }] }`, every default
/// explicit.
std::string toml_text(const EndCondition& until);

/// The condition as people say it: "3 epochs or plateau of validation/loss (patience 2)".
std::string plain_text(const EndCondition& until);

}  // namespace thaw
