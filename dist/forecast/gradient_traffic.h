#pragma once

#include <cstdint>
#include <vector>

#include "dist/forecast/step_forecast.h"
#include "dist/reduction/bucket_map.h"

namespace thaw {

/// Gradients on their way in one step: which bucket has what, and when backward gets there.
struct GradientTraffic {
  /// One collective after another, in the order in which they leave.
  struct Load {
    double ready = 0;        ///< seconds of backward until its last gradient is there
    std::int64_t bytes = 0;  ///< of its sum, as they travel
    std::int64_t whole = 0;  ///< of its parameters: what is gathered where ranks update slices
    std::int64_t marks = 0;  ///< bytes of a sum before it: marks of rows
  };
  std::vector<Load> loads;
  double backward = 0;             ///< seconds, on a rank alone, buckets filled
  std::int64_t flag_bytes = 0;     ///< that travel by themselves, as beside a rounded wire; else 0
  std::int64_t payload_bytes = 0;  ///< as ReductionCounters has them
  std::int64_t padding_bytes = 0;
  std::int64_t held_bytes = 0;  ///< of buckets, in memory
};

/// Of the last backward of a step, over `samples` samples of a rank, at `rate` of the speed at
/// which `costs` were measured. The buckets are those that the reducer makes once it has seen a
/// backward: `plan_buckets`, given the order in which gradients become ready. Pure.
GradientTraffic traffic_of(const StageCosts& costs, const ForecastJob& job, double samples,
                           double rate);

}  // namespace thaw
