#pragma once

#include <cstdint>

namespace thaw {

/// As many tokens as no sample has.
inline constexpr std::int64_t kAllAhead = std::int64_t{1} << 40;

/// How projections lie side by side where heads are rotated: `heads` queries, then `key_heads`
/// keys, then as many values, each of `size` elements. Query head h uses key head h / (heads /
/// key_heads) (grouped queries, Ainslie et al. 2023; one key head a query head is the usual
/// attention).
struct AttentionShape {
  std::int64_t heads = 0;
  std::int64_t key_heads = 0;  ///< divides `heads`
  std::int64_t size = 0;       ///< of one head
  std::int64_t window = 0;     ///< a token sees so many tokens up to itself; 0: all before it
  std::int64_t ahead = 0;      ///< and so many behind it; kAllAhead: all
  double scale = 0;            ///< of queries times keys; 0: 1 / sqrt(size)

  /// Columns of the projections.
  std::int64_t columns() const { return (heads + 2 * key_heads) * size; }
  /// Query heads that share a key head.
  std::int64_t group() const { return heads / key_heads; }
};

}  // namespace thaw
