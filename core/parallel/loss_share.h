#pragma once

#include <atomic>
#include <cstdint>

namespace thaw {

/// Over how many of this rank's samples its loss is the mean, for layers whose backward adds up
/// gradients of several ranks (Note [Synchronised BatchNorm]) while losses are means over each
/// rank's own samples. Written by who runs the steps, read in backward.
struct LossShare {
  /// -1: not told; the samples of the layer's own forward then.
  std::atomic<std::int64_t> samples = -1;
};

}  // namespace thaw
