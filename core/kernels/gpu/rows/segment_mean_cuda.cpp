#include <ATen/ops/empty.h>
#include <c10/cuda/CUDAGuard.h>

#include "core/kernels/gpu/operators.h"
#include "core/kernels/gpu/queue_cuda.h"
#include "core/kernels/gpu/rows/segment_mean.h"

namespace thaw::gpu {

at::Tensor segment_mean(const at::Tensor& input, const SampleRows& rows) {
  const c10::cuda::CUDAGuard guard(input.device());
  const std::int64_t width = input.size(1);
  at::Tensor output = at::empty({rows.size(), width}, input.options());
  const DeviceRows& index = on_device(rows, input.device());
  const bool packs = move_packs(width, {input, output});
  with_kernel_types(input.scalar_type(), packs, [&]<typename E, typename T, int N>() {
    SegmentMean<DeviceMemory, E, T, N> kernel;
    kernel.input = in<E>(input);
    kernel.offsets = numbers<std::int32_t>(index.offsets);
    kernel.output = out<E>(output);
    kernel.samples = rows.size();
    kernel.width = width;
    queue(kernel);
  });
  return output;
}

at::Tensor segment_mean_backward(const at::Tensor& gradient, const SampleRows& rows) {
  const c10::cuda::CUDAGuard guard(gradient.device());
  const std::int64_t width = gradient.size(1);
  at::Tensor output = at::empty({rows.offsets.back(), width}, gradient.options());
  const DeviceRows& index = on_device(rows, gradient.device());
  const bool packs = move_packs(width, {gradient, output});
  with_kernel_types(gradient.scalar_type(), packs, [&]<typename E, typename T, int N>() {
    SegmentMeanBackward<DeviceMemory, E, T, N> kernel;
    kernel.gradient = in<E>(gradient);
    kernel.offsets = numbers<std::int32_t>(index.offsets);
    kernel.owners = numbers<std::int32_t>(index.owners);
    kernel.output = out<E>(output);
    kernel.rows = output.size(0);
    kernel.width = width;
    queue(kernel);
  });
  return output;
}

}  // namespace thaw::gpu
