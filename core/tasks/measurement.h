#pragma once

#include <cstdint>
#include <vector>

namespace thaw {

/// Sums over evaluated samples from which all figures of an evaluation follow. Each member of two
/// ranks adds up to that of both, so every sample counts once whatever the sharding.
struct Measurement {
  double loss = 0;    ///< sum
  double weight = 0;  ///< what the mean loss divides by: see Task::weight. A whole number.
  std::int64_t samples = 0;
  /// The task's own. Whole numbers: their sums are exact, in whatever order they are taken.
  std::vector<double> counts = {};
  /// Likewise, for figures that are no sums: a row for each sample of the split, in its order,
  /// zeros where the sample was not seen here.
  std::vector<double> rows = {};

  double mean_loss() const { return weight > 0 ? loss / weight : 0; }
};

}  // namespace thaw
