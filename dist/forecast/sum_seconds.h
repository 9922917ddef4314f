#pragma once

#include <cstdint>
#include <limits>

#include "dist/forecast/network.h"

namespace thaw {

/// How long the links have been quiet before a sum: only a shaper's burst depends on it.
inline constexpr double kLongRest = std::numeric_limits<double>::infinity();

/// Seconds of one all-reduce of `bytes` over `ranks` ranks that all begin at once; 0 at one rank.
/// Pure. See Note [What a sum costs] in sum_seconds.cpp.
double sum_seconds(const Network& network, std::int64_t ranks, std::int64_t bytes,
                   double rested = kLongRest);

/// Likewise of a reduce-scatter, after which each rank has its slice, and of the all-gather that
/// brings slices together.
double scatter_seconds(const Network& network, std::int64_t ranks, std::int64_t bytes);
double gather_seconds(const Network& network, std::int64_t ranks, std::int64_t bytes);

/// Likewise of the canonical sum, up a binary tree over the ranks and down again.
double tree_seconds(const Network& network, std::int64_t ranks, std::int64_t bytes);

/// Bytes that the busiest rank sends for an all-reduce of `bytes`.
double sent_bytes(const Network& network, std::int64_t ranks, std::int64_t bytes);

}  // namespace thaw
