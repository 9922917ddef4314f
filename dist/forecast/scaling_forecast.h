#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "dist/forecast/step_forecast.h"

namespace thaw {

/// How a stage is asked to grow.
struct ScalingQuestion {
  StageCosts costs;
  ForecastJob job;    ///< `ranks` does not count; `batch` is that of one rank where it grows
  bool weak = false;  ///< the global batch grows with the ranks
  Network network;
};

/// Samples of the largest global batch that is looked at up to `ranks` ranks, what could help
/// included. Pure.
std::int64_t largest_batch(const ForecastJob& job, bool weak, std::int64_t ranks);

/// A stage at one number of ranks.
struct SimulatedPoint {
  std::string stage;
  std::int64_t ranks = 1;
  std::int64_t batch = 1;  ///< global
  StepForecast step;
  double samples_per_second = 0;
  double efficiency = 1;  ///< samples a second a rank, over those of one rank
};

/// Replays a step at `ranks` ranks, and at one for the efficiency. Pure.
SimulatedPoint simulated_point(const ScalingQuestion& question, std::int64_t ranks);

/// Up to where more ranks pay off.
struct ScalingLimit {
  std::int64_t ranks = 1;  ///< the last power of two that pays off
  /// Twice as many ranks gain less than half of what they could; false: up to `most` they do.
  bool reached = false;
  double next_gain = 0;  ///< samples a second at twice the ranks, over those at `ranks`
};

/// Doubles the ranks from one on, up to `most`, for as long as each doubling brings at least half
/// of what it could: 1.5 times the samples a second. Pure.
ScalingLimit scaling_limit(const ScalingQuestion& question, std::int64_t most);

/// What another setting would come to, replayed.
struct Remedy {
  std::string setting;  ///< as it is written: `distributed.wire = "bfloat16"`
  double gain = 1;      ///< samples a second, over those without
  std::int64_t memory_bytes = 0;
  bool same_training = true;  ///< false: another batch, or sums that are rounded on their way
};

/// Each setting that could help at `ranks` ranks, the one that gains most first: all that were
/// tried, those that gain nothing too. Pure.
std::vector<Remedy> remedies(const ScalingQuestion& question, std::int64_t ranks);

}  // namespace thaw
