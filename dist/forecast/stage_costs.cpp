#include "dist/forecast/stage_costs.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>

namespace thaw {

LinearCost line_through(double samples, double cost, double other_samples, double other_cost) {
  if (samples == other_samples) return {0, samples > 0 ? cost / samples : 0};
  const double slope = (other_cost - cost) / (other_samples - samples);
  // Two measurements of what hardly grows may come out the wrong way round; and a line that meets
  // no samples below 0 would make a small micro-batch cost less than nothing.
  if (slope < 0) return {std::min(cost, other_cost), 0};
  const double fixed = cost - slope * samples;
  if (fixed >= 0) return {fixed, slope};
  const double largest = std::max(samples, other_samples);
  return {0, (samples == largest ? cost : other_cost) / largest};
}

std::int64_t touched_by(const std::vector<TouchedRows>& touched, std::int64_t samples) {
  TouchedRows before;
  for (const TouchedRows& point : touched) {
    if (samples <= point.samples) {
      const auto span = static_cast<double>(point.samples - before.samples);
      const double share = static_cast<double>(samples - before.samples) / span;
      return before.rows + std::llround(share * static_cast<double>(point.rows - before.rows));
    }
    before = point;
  }
  return before.rows;
}

std::int64_t gradient_bytes(const StageCosts& costs) {
  std::int64_t bytes = 0;
  for (const GradientCosts& gradient : costs.gradients) {
    bytes += std::accumulate(gradient.entry.shape.begin(), gradient.entry.shape.end(),
                             static_cast<std::int64_t>(size_of(gradient.entry.type)),
                             std::multiplies<>());
  }
  return bytes;
}

}  // namespace thaw
