#pragma once

#include <algorithm>
#include <cstdint>
#include <utility>

namespace thaw {

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
