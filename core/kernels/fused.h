#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/GradMode.h>

#include <initializer_list>

namespace thaw {

// Note [Fused kernels]
// Linear layers of a small encoder are fast; what surrounds them is bound by memory: a bias added
// in one pass, dropout's mask drawn in another, the residual in a third. So each of the functions
// here does in one pass over a row what stands between two matrix products, forward and backward,
// draws dropout's masks twice instead of storing them, and computes in backward only what some
// input needs. Each has three versions with the same results to rounding: fused ones for the host
// and for CUDA devices (kernels/gpu), and one of plain operators for whatever these do not serve,
// against which tests hold the others.

/// Whether the fused version serves tensors like this one.
bool use_fused(const at::Tensor& tensor);

/// Off: plain operators everywhere, on all threads. For tests and measurements.
void set_fused_kernels(bool enabled);

/// Whether autograd records an operation on these tensors (undefined ones count as constants).
inline bool records(std::initializer_list<at::Tensor> inputs) {
  if (!c10::GradMode::is_enabled()) {
    return false;
  }
  for (const at::Tensor& input : inputs) {
    if (input.defined() && input.requires_grad()) {
      return true;
    }
  }
  return false;
}

}  // namespace thaw
