#pragma once

#include <cstddef>
#include <cstdint>

namespace thaw {

/// What the last transition cost on this rank, for the metrics.
struct TransitionCosts {
  double agreement_seconds = 0;  ///< comparing plans over the ranks, waiting for them included
  double build_seconds = 0;      ///< hooks, buckets and their memory
  bool prepared = false;         ///< memory was there, its pages touched, before the transition
  std::size_t buckets = 0;
  std::int64_t gradient_bytes = 0;  ///< of the new buckets, padding included
};

}  // namespace thaw
