#pragma once

#include <ATen/core/Tensor.h>

#include <utility>

namespace thaw {

/// The residual stream and its norm, in one pass (Note [Fused kernels]): sum = input + residual,
/// and normed = weight * sum / sqrt(mean(sum^2) + epsilon) over the last dimension (Zhang and
/// Sennrich 2019).
///
/// `input` and `residual` [rows, width]; the residual may be undefined, then sum = input. `weight`
/// [width]. The input may be bfloat16, or float64 where the rest is; residual and weight are
/// float32 (float64). Returns {sum, normed}: the sum in float32 (float64), `normed` in `type`.
std::pair<at::Tensor, at::Tensor> add_rms_norm(const at::Tensor& input, const at::Tensor& residual,
                                               const at::Tensor& weight, double epsilon,
                                               at::ScalarType type);

}  // namespace thaw
