#pragma once

#include <cstdint>

namespace thaw {

/// Operands of rotate_heads' kernels; null where there is none. E: an element of the projections,
/// T: of everything else. All are whole tensors; rows are counted from their start.
template <typename E, typename T>
struct RotaryRows {
  const E* input = nullptr;  ///< forward: may be the output's memory
  E* output = nullptr;
  const std::int32_t* places = nullptr;  ///< of each token in its sample
  std::int64_t heads = 0, key_heads = 0, size = 0;
  const T* cosines = nullptr;  ///< [positions, size / 2]
  const T* sines = nullptr;
  const T* weights[2] = {};  ///< of the norms of queries and keys; null: no norm
  T epsilon = 0;
  const E* gradient = nullptr;  ///< backward: of the result
};

}  // namespace thaw
