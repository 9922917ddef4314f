#pragma once

#include <ATen/core/Tensor.h>

namespace thaw {

struct SynchronizedBatchNorm;

/// `synchronized_batch_norm` for tensors on a GPU: see Note [BatchNorm on a GPU].
at::Tensor device_batch_norm(const at::Tensor& input, const at::Tensor& weight,
                             const at::Tensor& bias, const SynchronizedBatchNorm& settings);

}  // namespace thaw
