#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>

#include <cstddef>
#include <vector>

namespace thaw {

// Note [Rates on the device]
// A kernel that is given its learning rate as a number has it for good once it is in a CUDA graph.
// So on GPUs the fused optimizers read rates from memory there, which a step fills before it queues
// them: the same graph serves whatever a curve says. What else changes from step to step is there
// already: the counts that bias corrections come from, the clip factor, the verdict. Weight decay
// multiplies the rate in the kernel, and stays the same in a stage.
// LibTorch's kernels read it as float32. In float64, for proofs, it stays a number.

/// The learning rates of a stage's classes of parameters where a GPU's kernels read them. Belongs
/// to the training thread.
class DeviceRates {
 public:
  DeviceRates(std::size_t classes, at::Device gpu);

  /// What kernels that are queued on this thread's current stream from now on find: one upload that
  /// does not block the host, or nothing where these are the rates already.
  void set(const std::vector<double>& rates);

  /// float32 scalar, in the same place of memory as long as this lives.
  const at::Tensor& of(std::size_t index) const { return each_.at(index); }

 private:
  at::Tensor all_;
  std::vector<at::Tensor> each_;  ///< its elements
  std::vector<double> rates_;     ///< that it holds; empty: none yet
};

}  // namespace thaw
