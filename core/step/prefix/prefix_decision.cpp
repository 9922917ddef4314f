#include "core/step/prefix/prefix_decision.h"

#include <algorithm>
#include <numeric>

namespace thaw {
namespace {

using Kept = std::vector<std::size_t>;

double seconds_without(const PrefixCosts& costs) {
  double seconds = 0;
  for (const PrefixDemand& demand : costs.demands) {
    seconds += demand.samples * costs.boundaries[demand.boundary].seconds;
  }
  return seconds;
}

/// One pass over the samples, up to the last boundary that is not there.
double making_seconds(const PrefixCosts& costs, const Kept& kept) {
  double pass = 0;
  double bytes = 0;
  for (const std::size_t index : kept) {
    const PrefixBoundary& boundary = costs.boundaries[index];
    if (boundary.filled) continue;
    pass = std::max(pass, boundary.seconds);
    bytes += static_cast<double>(boundary.bytes);
  }
  return costs.samples * pass + bytes * costs.write_seconds;
}

/// Of a sample of `demand`: reading at the last boundary that serves, and running what is left.
double sample_seconds(const PrefixCosts& costs, const Kept& kept, const PrefixDemand& demand) {
  const double whole = costs.boundaries[demand.boundary].seconds;
  double best = whole;
  for (const std::size_t index : kept) {
    if (index > demand.boundary) break;
    const PrefixBoundary& boundary = costs.boundaries[index];
    const double row = static_cast<double>(boundary.bytes) / costs.samples;
    best = std::min(best, whole - boundary.seconds + row * costs.read_seconds);
  }
  return best;
}

double seconds_with(const PrefixCosts& costs, const Kept& kept) {
  double seconds = making_seconds(costs, kept);
  for (const PrefixDemand& demand : costs.demands) {
    seconds += demand.samples * sample_seconds(costs, kept, demand);
  }
  return seconds;
}

std::int64_t bytes_of(const PrefixCosts& costs, const Kept& kept) {
  return std::accumulate(
      kept.begin(), kept.end(), std::int64_t{0},
      [&](std::int64_t sum, std::size_t index) { return sum + costs.boundaries[index].bytes; });
}

/// Without the one that is missed least; for room, by each byte that it frees.
Kept without_least_useful(const PrefixCosts& costs, const Kept& kept, bool for_room) {
  const double seconds = seconds_with(costs, kept);
  Kept best;
  double least = 0;
  for (std::size_t i = 0; i < kept.size(); ++i) {
    Kept rest = kept;
    rest.erase(rest.begin() + static_cast<std::ptrdiff_t>(i));
    double missed = seconds_with(costs, rest) - seconds;
    if (for_room) missed /= static_cast<double>(costs.boundaries[kept[i]].bytes);
    if (i == 0 || missed < least) {
      best = std::move(rest);
      least = missed;
    }
  }
  return best;
}

/// All that would have room alone.
Kept candidates(const PrefixCosts& costs) {
  Kept kept;
  for (std::size_t i = 0; i < costs.boundaries.size(); ++i) {
    if (costs.boundaries[i].bytes <= costs.limit) kept.push_back(i);
  }
  return kept;
}

}  // namespace

PrefixDecision decide_prefix(const PrefixCosts& costs) {
  PrefixDecision decision;
  decision.seconds_without = seconds_without(costs);
  Kept kept = candidates(costs);
  while (!kept.empty()) {
    const bool too_large = bytes_of(costs, kept) > costs.limit;
    if (!too_large && costs.always) break;
    Kept fewer = without_least_useful(costs, kept, too_large);
    const bool as_good = seconds_with(costs, fewer) <= seconds_with(costs, kept);
    if (!too_large && !as_good) break;
    kept = std::move(fewer);
  }
  decision.bytes = bytes_of(costs, kept);
  decision.seconds_with = seconds_with(costs, kept);
  decision.use = !kept.empty() && (costs.always || decision.seconds_with <=
                                                       (1 - kLeastGain) * decision.seconds_without);
  decision.kept = std::move(kept);
  return decision;
}

}  // namespace thaw
