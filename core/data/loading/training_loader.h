#pragma once

#include <c10/core/Device.h>

#include <cstdint>
#include <memory>
#include <optional>

#include "core/data/batch.h"
#include "core/data/order/batch_plan.h"

namespace thaw {

class Dataset;

/// How training samples are drawn.
struct TrainingLoaderOptions {
  std::int64_t batch = 64;  ///< global
  std::uint64_t seed = 0;
  std::int64_t read_ahead = 4;    ///< batches prepared in advance; 0: none, and no thread
  std::int64_t crop_padding = 0;  ///< images: random crop with so many pixels of padding; 0: none
  bool horizontal_flip = false;   ///< images
  int rank = 0;
  int ranks = 1;
  std::int64_t shards = 0;  ///< > 0: the batch is cut into these, of which ranks hold whole ones
  std::optional<at::Device> gpu = {};  ///< that batches are for; nothing: the host
  bool uploads = true;                 ///< starts their way there, in advance; false: cut up before
  bool fills_up = false;               ///< text on its way there: Note [Size classes]
};

/// A rank's share of one global batch. `batch.size()` may be 0.
struct TrainingBatch {
  Batch batch;
  GlobalBatch global;  ///< what all ranks together hold; `global.size()` is the divisor of the loss
};

/// Yields this rank's share of one global batch after another of the split `train`, epoch after
/// epoch without end, prepared in advance on a thread of its own.
///
/// What comes is a pure function of (data, batch, seed, cursor, rank, ranks): resuming at a cursor,
/// with any number of ranks, goes on with just the samples that are left. The loader only reads
/// ahead; the cursor belongs to the trainer and moves when a step commits.
/// Memory: at most read_ahead + 2 shares at a time. Use from one thread; the dataset must outlive
/// it, its split must be prepared.
class TrainingLoader {
 public:
  /// Starts after `cursor` consumed samples. Throws `InputError` for options that do not fit the
  /// data (crop or flip of text) and where there is no split `train`.
  TrainingLoader(const Dataset& dataset, const TrainingLoaderOptions& options,
                 std::int64_t cursor = 0);
  ~TrainingLoader();
  TrainingLoader(const TrainingLoader&) = delete;
  TrainingLoader& operator=(const TrainingLoader&) = delete;

  /// Blocks until the next share is there. Rethrows what went wrong while reading it (`RunError`).
  TrainingBatch next();

  /// Forgets what was read ahead; `next` goes on after `cursor` consumed samples.
  void seek(std::int64_t cursor);

 private:
  class Implementation;
  std::unique_ptr<Implementation> implementation_;
};

}  // namespace thaw
