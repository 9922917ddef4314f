#pragma once

#include <cstdint>
#include <vector>

#include "core/config/choices.h"
#include "dist/forecast/network.h"
#include "dist/forecast/stage_costs.h"
#include "dist/reduction/reducer_options.h"

namespace thaw {

/// The job that is asked about: what the configuration says, and the number of ranks.
struct ForecastJob {
  std::int64_t ranks = 1;
  std::int64_t batch = 1;        ///< global: samples of one step over all ranks
  std::int64_t micro_batch = 0;  ///< samples of one forward on one rank; 0: its whole share
  int threads = 1;               ///< of a rank: those that the costs were measured with
  Precision precision = Precision::kFloat32;
  BucketOptions buckets = {};
  Overlap overlap = Overlap::kAuto;
  GradientWire wire = GradientWire::kSame;
  Sharding sharding = Sharding::kNone;
  std::int64_t shards = 0;  ///< > 0: canonical sums over so many shards of a batch
};

/// One bucket's way through a step, in seconds from the step's start.
struct BucketTimes {
  std::int64_t bytes = 0;  ///< that travel: as the wire has them, flags and padding included
  double ready = 0;        ///< its last gradient is there
  double begun = 0;
  double done = 0;
};

/// What one step costs the rank with the largest share.
struct StepForecast {
  double seconds = 0;   ///< all of it
  double forward = 0;   ///< of all micro-batches
  double backward = 0;  ///< likewise, with what sums beside it take from it
  double optimizer = 0;
  double other = 0;       ///< data, loss, log, small sums
  double sums = 0;        ///< for which gradients are being summed
  double exposed = 0;     ///< of `seconds`: those in which the rank only waits for sums
  bool overlaps = false;  ///< whether sums run beside backward: as wanted, or the faster way
  std::int64_t payload_bytes = 0;  ///< as summary.json's bytes_reduced_per_step
  std::int64_t padding_bytes = 0;  ///< alignment and flags
  std::int64_t sent_bytes = 0;     ///< that the busiest rank sends for them
  std::int64_t memory_bytes = 0;   ///< of a rank, at the peak
  std::int64_t collectives = 0;    ///< sums of gradients
  std::vector<BucketTimes> buckets;
};

/// Replays one step of `job` over simulated ranks: buckets become ready as backward goes on and
/// wait in one queue, whose sums run one after another. Pure. Throws std::invalid_argument for a
/// job without ranks or samples. See Note [A step replayed] in step_forecast.cpp.
StepForecast forecast_step(const StageCosts& costs, const ForecastJob& job, const Network& network);

}  // namespace thaw
