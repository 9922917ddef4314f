#pragma once

#include <cstdint>

#include "core/kernels/random/dropout_draws.h"

namespace thaw {

/// A key head of one sample with the query heads that share it, for the kernels in
/// causal_heads.inc. E: element in memory, T: what it is computed in. Pointers are to the columns
/// of the first of these heads in the sample's first row; the next query head lies `size` columns
/// further.
template <typename E, typename T>
struct CausalHeads {
  std::int64_t length = 0;  ///< tokens
  std::int64_t size = 0;    ///< of a head
  std::int64_t group = 1;   ///< query heads
  std::int64_t window = 0;  ///< 0: none
  std::int64_t ahead = 0;   ///< keys that are seen behind a query's own
  T scale = 1;
  const E* projected[3] = {};       ///< q, k, v
  std::int64_t projected_row = 0;   ///< elements from one token to the next
  const DropoutKey* key = nullptr;  ///< null: no dropout
  std::uint64_t sample = 0;         ///< for the draws
  std::uint32_t head = 0;           ///< number of the first query head
  T* log_sums = nullptr;            ///< log of the sums of exponentials; null: not kept
  std::int64_t log_sums_row = 0;    ///< from one query head to the next

  E* output = nullptr;          ///< forward
  const E* gradient = nullptr;  ///< backward: of the output
  std::int64_t output_row = 0;
  E* projected_gradient[3] = {};  ///< of q, k, v
};

/// Queries that are worked on at a time. Of these, scores are computed for 16 at a time, so that
/// little is computed that the diagonal hides.
inline constexpr std::int64_t kCausalBlock = 32;

/// Elements of T of scratch memory that one key head takes.
inline std::int64_t causal_scratch(std::int64_t length, std::int64_t size, bool backward) {
  const std::int64_t padded_length = (length + 15) / 16 * 16;
  const std::int64_t padded_size = (size + 15) / 16 * 16;
  const std::int64_t matrix = length * padded_size, transposed = size * padded_length;
  const std::int64_t block = kCausalBlock * padded_size, scores = kCausalBlock * padded_length;
  const std::int64_t factors = kCausalBlock * length + 256;
  return backward ? 4 * matrix + 2 * transposed + 3 * block + 2 * scores + factors
                  : matrix + transposed + 2 * block + scores + factors;
}

}  // namespace thaw
