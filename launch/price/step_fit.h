#pragma once

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
  double transition_seconds = 0;
  double peak_bytes = 0;  ///< with the largest load that was run
  double largest_load = 0;

  StepPrice at(double load) const;
};

/// By the steps of a rehearsal that count. `alternates`: at first every other step is overlapped,
/// and the faster way is kept: see OverlapChoice. `smaller`: the same stage with smaller batches,
/// or null. Pure.
StepFit fit_of(const RehearsedStage& stage, const RehearsedStage* smaller, bool alternates);

/// Between two stages of which one goes deeper: `weight` of `b`, the rest of `a`. Memory: the more.
StepFit fit_between(const StepFit& a, const StepFit& b, double weight);

/// A fit at a depth.
struct PlacedFit {
  double depth = 0;
  StepFit fit;
};

/// That of a depth by its neighbours, which ascend and are not none; beyond them, the nearest.
StepFit fit_at(const std::vector<PlacedFit>& known, double depth);

}  // namespace thaw
