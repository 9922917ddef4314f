#pragma once

#include <cstdint>

#include "core/kernels/random/dropout_draws.h"

namespace thaw {

/// One head of one sample for the kernels in attention_head.inc. E: element in memory, T: what it
/// is computed in. Pointers are to the head's columns in the sample's first row.
template <typename E, typename T>
struct AttentionHead {
  std::int64_t length = 0;     ///< tokens
  std::int64_t size = 0;       ///< d
  const E* projected[3] = {};  ///< q, k, v
  const T* bias[3] = {};
  std::int64_t projected_row = 0;   ///< elements from one token to the next
  const DropoutKey* key = nullptr;  ///< null: no dropout
  std::uint64_t sample = 0;         ///< for the draws
  std::uint32_t head = 0;
  T* log_sums = nullptr;  ///< [length]: log of the sum of exponentials; null: not kept

  E* output = nullptr;          ///< forward
  const E* gradient = nullptr;  ///< backward: of the output
  std::int64_t output_row = 0;
  E* projected_gradient[3] = {};  ///< of q, k, v
};

/// Rows of queries that are worked on at a time: their scores stay in the second-level cache.
inline constexpr std::int64_t kQueryBlock = 32;

/// Elements of T of scratch memory that one head takes.
inline std::int64_t attention_scratch(std::int64_t length, std::int64_t size, bool backward) {
  const std::int64_t padded_length = (length + 15) / 16 * 16;
  const std::int64_t padded_size = (size + 15) / 16 * 16;
  const std::int64_t factors = kQueryBlock * length + 256;
  const std::int64_t scores = kQueryBlock * padded_length;
  const std::int64_t matrix = length * padded_size;
  const std::int64_t transposed = size * padded_length;
  return backward
             ? 6 * matrix + 2 * transposed + 2 * scores + factors + 2 * kQueryBlock * padded_size
             : 2 * matrix + transposed + scores + factors + kQueryBlock * padded_size;
}

}  // namespace thaw
