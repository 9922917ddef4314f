#pragma once

#include <cstdint>

#include "core/kernels/random/draw_scope.h"

namespace thaw {

/// Operands of add_norm's kernels; null where an input or a result is not there. E: an element of
/// the input, T: of everything else. All are whole tensors; rows are counted from their start.
template <typename E, typename T>
struct AddNormRows {
  const E* input = nullptr;
  const T* bias = nullptr;
  const T* residual = nullptr;
  const T* scale = nullptr;
  const T* shift = nullptr;
  T* output = nullptr;
  T* normalized = nullptr;  ///< (x - mean) / deviation; may be the input's or the output's memory
  T* rstd = nullptr;        ///< [rows]
  std::int64_t width = 0;
  T epsilon = 0;
  const DropoutDraws* draws = nullptr;
  bool packed = false;
};

/// The same for backward: what it reads, and the gradients it writes (null: nobody wants it).
template <typename E, typename T>
struct AddNormRowsBackward {
  const T* gradient = nullptr;
  const T* normalized = nullptr;
  const T* rstd = nullptr;
  const T* scale = nullptr;
  E* input_gradient = nullptr;
  T* residual_gradient = nullptr;
  bool parameters = false;  ///< sums for bias, scale and shift are wanted
  std::int64_t width = 0;
  const DropoutDraws* draws = nullptr;
  bool packed = false;
};

}  // namespace thaw
