#pragma once

#include <cstdint>

#include "core/schedule/schedule.h"

namespace thaw {

/// How far a stage has come since its start. Counts committed steps, skipped ones included.
struct StageProgress {
  std::int64_t steps = 0;
  std::int64_t samples = 0;
};

/// Samples that `epochs` epochs of a training split of `train_samples` hold, to the nearest.
std::int64_t samples_of_epochs(double epochs, std::int64_t train_samples);

/// The cursor after `steps` steps from `cursor`, in constant time. Batches never cross the end of
/// an epoch, so the last of an epoch may be short.
std::int64_t advance_cursor(std::int64_t cursor, std::int64_t steps, std::int64_t train_samples,
                            std::int64_t global_batch);

/// The number of steps of a stage that begins at `start_cursor`, in constant time: the least n
/// for which `stage_ended` holds after n steps. At least 1.
///
/// `epochs = k` ends with the first step at which k·N samples have been consumed since the stage's
/// start. A stage that began inside an epoch may pass that by less than a batch.
std::int64_t steps_of_stage(const EndCondition& until, std::int64_t start_cursor,
                            std::int64_t train_samples, std::int64_t global_batch);

/// Whether a stage that has come so far is over.
bool stage_ended(const EndCondition& until, const StageProgress& progress,
                 std::int64_t train_samples);

}  // namespace thaw
