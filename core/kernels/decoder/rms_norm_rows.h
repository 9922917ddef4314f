#pragma once

#include <cstdint>

namespace thaw {

/// Operands of add_rms_norm's kernels; null where an input or a result is not there. In, Out:
/// elements of the input and of the norm, T: of everything else. All are whole tensors; rows are
/// counted from their start.
template <typename In, typename Out, typename T>
struct RmsNormRows {
  const In* input = nullptr;
  const T* residual = nullptr;
  const T* weight = nullptr;
  T* sum = nullptr;  ///< null: the input itself
  Out* normed = nullptr;
  T* rstd = nullptr;  ///< [rows]
  std::int64_t width = 0;
  T epsilon = 0;
};

/// The same for backward: what it reads, and the gradients it writes (null: nobody wants it).
template <typename In, typename Out, typename T>
struct RmsNormRowsBackward {
  const Out* gradient = nullptr;  ///< of the norm
  const T* sum_gradient = nullptr;
  const T* sum = nullptr;
  const T* rstd = nullptr;
  const T* weight = nullptr;
  In* input_gradient = nullptr;
  T* residual_gradient = nullptr;
  bool parameters = false;  ///< the weight's gradient is wanted
  std::int64_t width = 0;
};

}  // namespace thaw
