#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "dist/forecast/stage_costs.h"
#include "launch/price/rehearsal.h"

namespace thaw {

/// What a step costs, in parts that add up.
struct StepPrice {
  double forward = 0, backward = 0;  ///< of the rank that has the most to do
  double optimizer = 0, data = 0;
  double exposed = 0;  ///< sums that nothing hides
  double other = 0;

  double seconds() const { return forward + backward + optimizer + data + exposed + other; }
};

/// What steps of a stage cost by their load (DataLoads): what computes follows it, the rest stays.
struct StepFit {
  LinearCost forward, backward;  ///< their `samples`: loads
  StepPrice rest;                ///< `forward` and `backward` are 0
  /// What each of the first steps takes beyond that: they touch new memory, pack weights, count
  /// operations, and try the slower of two ways in turn.
  std::vector<double> first_steps;
  double transition_seconds = 0;
  double groups_seconds = 0;  ///< of an evaluation: see RehearsedStage
  double peak_bytes = 0;      ///< with the largest load that was run
  double held_bytes = 0;      ///< of these, what is there whatever the load: see HeldBytes
  double largest_load = 0;

  StepPrice at(double load) const;
  /// Of `steps` steps together, `load` their mean: the first ones as they are, each other one as a
  /// typical one and as much above it as steps are on average (`mean_over_typical`).
  double seconds_of(std::int64_t steps, double load, double mean_over_typical) const;
};

/// 0 of none. Pure.
double largest_load(const std::vector<RehearsedStep>& steps);

/// By the steps of a rehearsal that count. `alternates`: at first every other step is overlapped,
/// and the faster way is kept: see OverlapChoice. `smaller`: the same stage with smaller batches,
/// or null. Pure.
StepFit fit_of(const RehearsedStage& stage, const RehearsedStage* smaller, bool alternates);

/// What steps take on average, and what stands between them, over what a typical one takes: a
/// typical step is a median, which leaves out what now and then holds one up, and a run has all of
/// them. Of the counted steps of all stages together, since one has few. At least 1. Pure.
double mean_over_typical(const std::vector<RehearsedStage>& stages, bool alternates);

/// Between two stages of which `b` goes deeper: `weight` of it, the rest of `a`. Memory beyond what
/// is held: rather more than that, and no less than of `a`.
StepFit fit_between(const StepFit& a, const StepFit& b, double weight);

/// A fit at a depth.
struct PlacedFit {
  double depth = 0;
  StepFit fit;
  std::size_t run = 0;  ///< index of what it is of, among what was run
};

/// That of a depth by its neighbours, which ascend and are not none; beyond them, the nearest.
StepFit fit_at(const std::vector<PlacedFit>& known, double depth);

}  // namespace thaw
