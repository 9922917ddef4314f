#pragma once

#include <cstdint>
#include <optional>

#include "core/schedule/schedule.h"

namespace thaw {

/// How far a stage has come since its start. Counts committed steps, skipped ones included.
struct StageProgress {
  std::int64_t steps = 0;
  std::int64_t samples = 0;

  friend bool operator==(const StageProgress&, const StageProgress&) = default;
};

/// Samples that `epochs` epochs of a training split of `train_samples` hold, to the nearest.
std::int64_t samples_of_epochs(double epochs, std::int64_t train_samples);

/// The cursor after `steps` steps from `cursor`, in constant time. Batches never cross the end of
/// an epoch, so the last of an epoch may be short.
std::int64_t advance_cursor(std::int64_t cursor, std::int64_t steps, std::int64_t train_samples,
                            std::int64_t global_batch);

/// The most steps that a stage which begins at `start_cursor` can have, in constant time; at least
/// 1. Nothing where only a metric, a clock or a gradient ends it. Where only epochs and steps do,
/// that is its number of steps: the least n for which `stage_ended` holds after n steps.
///
/// `epochs = k` ends with the first step at which k·N samples have been consumed since the stage's
/// start. A stage that began inside an epoch may pass that by less than a batch.
std::optional<std::int64_t> steps_of_stage(const EndCondition& until, std::int64_t start_cursor,
                                           std::int64_t train_samples, std::int64_t global_batch);

/// Whether the number of steps is known beforehand: only epochs and steps end the stage.
bool length_is_known(const EndCondition& until);

}  // namespace thaw
