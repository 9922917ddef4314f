#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "dist/forecast/network.h"
#include "dist/forecast/stage_costs.h"

// Small jobs whose forecasts can be reckoned by hand.

namespace thaw {

/// Hosts of one rank each, a million bytes a second, without latencies.
inline Network slow_network() {
  Network network;
  network.name = "slow";
  network.inside = {0, 1e9};
  network.between = {0, 1e6};
  return network;
}

inline GradientCosts gradient_of(const std::string& name, std::vector<std::int64_t> shape,
                                 std::size_t group, bool by_rows = false) {
  return {{.name = name, .shape = std::move(shape), .strides = {}, .by_rows = by_rows}, group};
}

/// Two groups of 64 bytes and of 1 MiB: `low` then `high`, which backward reaches first. Of 10
/// samples forward takes 0.1 and 0.05 s, backward 0.2 and 0.1.
inline StageCosts two_groups() {
  StageCosts costs;
  costs.stage = "both";
  costs.groups = {{"low", {0, 0.01}, {0, 0.02}}, {"high", {0, 0.005}, {0, 0.01}}};
  costs.gradients = {gradient_of("low.weight", {16}, 0), gradient_of("high.weight", {512, 512}, 1)};
  return costs;
}

/// Bytes of both: what the optimizer goes through.
inline constexpr double kBothBytes = 64 + (1 << 20);

}  // namespace thaw
