#pragma once

#include <c10/core/Device.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "core/data/batch.h"

namespace thaw {

class Dataset;

/// How an evaluation cuts a split up, alike on all ranks but for `rank`.
struct EvaluationLoaderOptions {
  std::int64_t batch = 64;      ///< global
  std::int64_t read_ahead = 4;  ///< batches prepared in advance; 0: none, and no thread
  int rank = 0;
  int ranks = 1;
  std::int64_t shards = 0;             ///< of a global batch; 0: as many as ranks
  std::optional<at::Device> gpu = {};  ///< that batches are for; nothing: the host
};

/// Yields every sample of a split once, in order, without augmentation: of each global batch this
/// rank's shards, one by one. A shard may be empty. Without a number of shards each rank has one,
/// and all ranks get the same number of batches.
/// Rules of use as for `TrainingLoader`.
class EvaluationLoader {
 public:
  EvaluationLoader(const Dataset& dataset, const std::string& split,
                   const EvaluationLoaderOptions& options);
  ~EvaluationLoader();
  EvaluationLoader(const EvaluationLoader&) = delete;
  EvaluationLoader& operator=(const EvaluationLoader&) = delete;

  /// The next shard, or nothing after the last. Rethrows what went wrong while reading it.
  std::optional<Batch> next();
  /// Of the global batch, that `next` returned last.
  std::int64_t shard() const;

 private:
  class Implementation;
  std::unique_ptr<Implementation> implementation_;
};

}  // namespace thaw
