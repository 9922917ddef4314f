#pragma once

#include <cstdint>

namespace thaw {

/// How far a stage has come since its start. Counts committed steps, skipped ones included.
struct StageProgress {
  std::int64_t steps = 0;
  std::int64_t samples = 0;

  friend bool operator==(const StageProgress&, const StageProgress&) = default;
};

/// Where a stage begins.
struct StageStart {
  std::int64_t cursor = 0;
  std::int64_t train_samples = 1;
  std::int64_t batch = 1;  ///< global
};

/// No run is so long; up to here the arithmetic of cursors is exact.
constexpr double kMostSamples = 1e15;

/// Samples that `epochs` epochs of a training split of `train_samples` hold, to the nearest.
std::int64_t samples_of_epochs(double epochs, std::int64_t train_samples);

/// Steps that consume at least `samples` samples from `start` on, in constant time. Batches never
/// cross the end of an epoch, so the last of an epoch may be short.
std::int64_t steps_to_consume(std::int64_t samples, const StageStart& start);

/// The cursor after `steps` steps from `cursor`, in constant time.
std::int64_t advance_cursor(std::int64_t cursor, std::int64_t steps, std::int64_t train_samples,
                            std::int64_t global_batch);

}  // namespace thaw
