#include "launch/run/stage_coordination.h"

#include "core/config/configuration.h"
#include "core/parallel/communicator.h"
#include "core/parallel/one_rank.h"
#include "core/parallel/stage_coordinator.h"
#include "core/train/reduction_rules.h"
#include "dist/coordination/unfreezing_coordinator.h"
#include "dist/reduction/sending/gradient_hook.h"

namespace thaw {

std::unique_ptr<StageCoordinator> coordinator_for(Communicator& communicator,
                                                  const Configuration& configuration,
                                                  StepMonitor& monitor) {
  const DistributedOptions& options = configuration.distributed;
  ReducerOptions reducer;
  reducer.shards = canonical_shards(configuration.train);
  if (communicator.size() == 1 && reducer.shards == 0) {
    return make_local_coordinator();
  }
  reducer.buckets.cap_bytes = options.bucket_bytes;
  reducer.overlap = options.overlap;
  reducer.buckets.by_rows = options.embedding_rows == EmbeddingRows::kAuto;
  reducer.unused = options.unused;
  reducer.sharding = options.sharding;
  if (options.wire == GradientWire::kBFloat16 && reducer.shards == 0)
    reducer.hook = make_rounding_hook();
  reducer.monitor = &monitor;
  return make_unfreezing_coordinator(communicator, reducer);
}

}  // namespace thaw
