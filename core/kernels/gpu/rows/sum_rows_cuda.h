#pragma once

// For the *_cuda.cpp of the folders here alone.

#include "core/kernels/gpu/queue_cuda.h"
#include "core/kernels/gpu/rows/sum_rows.h"

namespace thaw::gpu {

/// Queues what makes `total`, of E, the sum of the rows of `parts`, [rows, elements of total], of
/// T.
template <typename E, typename T, int N>
void queue_sum_of_rows(const at::Tensor& parts, const at::Tensor& total) {
  SumRows<DeviceMemory, E, T, N> kernel;
  kernel.input = in<T>(parts);
  kernel.output = out<E>(total);
  kernel.rows = parts.size(0);
  kernel.columns = total.numel();
  queue(kernel);
}

}  // namespace thaw::gpu
