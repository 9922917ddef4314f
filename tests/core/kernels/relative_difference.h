#pragma once

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/norm.h>

namespace thaw {

/// ‖found − expected‖ over ‖expected‖, in float64.
inline double relative_difference(const at::Tensor& found, const at::Tensor& expected) {
  const at::Tensor left = found.to(at::kDouble), right = expected.to(at::kDouble);
  return ((left - right).norm() / (right.norm() + 1e-30)).item<double>();
}

}  // namespace thaw
