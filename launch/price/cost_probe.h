#pragma once

#include <cstdint>
#include <vector>

#include "dist/forecast/stage_costs.h"

namespace thaw {

struct RunSetup;
struct Schedule;
struct Stage;

/// What a probe of one rank may take.
struct CostProbeLimits {
  std::int64_t samples = 1;  ///< of a rank's share of a step: the larger of the two sizes measured
  double seconds = 8;        ///< for all stages together; late, each has three steps all the same
  /// The most samples of a global batch that will be asked about; the configured ones at least.
  std::int64_t largest_batch = 0;
};

/// What the probe measured, for forecasts.
struct MeasuredCosts {
  std::vector<StageCosts> stages;  ///< one for each of the schedule's
  std::int64_t samples = 0;  ///< of the larger steps: fewer than asked for where these are long
  double seconds = 0;        ///< that it took
};

/// What stands for a stage: of one with a policy, which activates some groups at a time, its first
/// segment; else all of it. Pure.
Stage probed_stage(const Stage& stage);

/// The largest memory of steps of one size.
struct ProbedPeak {
  std::int64_t samples = 0;
  std::int64_t bytes = 0;  ///< of the process
  std::int64_t held = 0;   ///< of these: gradients and the optimizer's state
};

/// What forward leaves for backward, of a process that had `resident` bytes before: what peaks have
/// besides, since a forecast adds gradients and state for itself. Pure.
LinearCost activations_of(const ProbedPeak& few, const ProbedPeak& many, std::int64_t resident);

/// Measures what each stage of `schedule` costs this rank, by real steps on real batches of two
/// sizes, on this process's threads; see Note [Costs by two sizes]. It talks to no other rank: what
/// gradients cost on their way is the forecast's (dist/forecast). A stage with a policy is
/// measured as `probed_stage` has it, and the state of all its groups is told. Stages with the same
/// active groups and options are measured once. Freezes and thaws; weights stay as they are, and
/// gradients, running statistics and memory do not.
MeasuredCosts measure_stage_costs(const RunSetup& setup, const Schedule& schedule,
                                  const CostProbeLimits& limits);

}  // namespace thaw
