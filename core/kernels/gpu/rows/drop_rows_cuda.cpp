#include <ATen/ops/empty_like.h>
#include <c10/cuda/CUDAGuard.h>

#include "core/kernels/gpu/operators.h"
#include "core/kernels/gpu/queue_cuda.h"
#include "core/kernels/gpu/rows/drop_rows.h"

namespace thaw::gpu {

at::Tensor drop_rows(const at::Tensor& input, const DropoutDraws& draws, bool packed) {
  const c10::cuda::CUDAGuard guard(input.device());
  at::Tensor output = at::empty_like(input);
  const std::int64_t width = input.numel() / input.size(0);
  const bool packs = move_packs(width, {input, output});
  with_kernel_types(input.scalar_type(), packs, [&]<typename E, typename T, int N>() {
    DropRows<DeviceMemory, E, T, N> kernel;
    kernel.input = in<E>(input);
    kernel.output = out<E>(output);
    kernel.keyed = keyed_rows(draws, packed, input.device());
    kernel.rows = input.size(0);
    kernel.width = width;
    queue(kernel);
  });
  return output;
}

at::Tensor drop_attention_rows(const at::Tensor& input, const DropoutDraws& draws) {
  const c10::cuda::CUDAGuard guard(input.device());
  at::Tensor output = at::empty_like(input);
  const DeviceRows& rows = on_device(*draws.rows, input.device());
  const bool packs = move_packs(input.size(3), {input, output});
  with_kernel_types(input.scalar_type(), packs, [&]<typename E, typename T, int N>() {
    DropAttentionRows<DeviceMemory, E, T, N> kernel;
    kernel.input = in<E>(input);
    kernel.output = out<E>(output);
    kernel.key = draws.key;
    kernel.samples = numbers<std::int64_t>(rows.samples);
    kernel.offsets = numbers<std::int32_t>(rows.offsets);
    kernel.heads = input.size(1);
    kernel.padded = input.size(3);
    kernel.count = input.size(0);
    queue(kernel);
  });
  return output;
}

}  // namespace thaw::gpu
