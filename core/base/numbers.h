#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace thaw {

/// The middle of `values`, or the mean of the two in the middle; 0 of none.
inline double median(std::vector<double> values) {
  if (values.empty()) return 0;
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  if (values.size() % 2 == 1) return *middle;
  return (*middle + *std::max_element(values.begin(), middle)) / 2;
}

/// Piece `index` of [0, total) cut into `pieces` neighbouring ones whose lengths differ by at most
/// one, the longer ones first: its first position and the one behind its last. Pieces may be empty.
/// `total` >= 0 and 0 <= `index` < `pieces`.
inline std::pair<std::int64_t, std::int64_t> balanced_split(std::int64_t total, std::int64_t index,
                                                            std::int64_t pieces) {
  const std::int64_t each = total / pieces;
  const std::int64_t longer = total % pieces;
  const std::int64_t first = index * each + std::min(index, longer);
  return {first, first + each + (index < longer ? 1 : 0)};
}

}  // namespace thaw
