#include <c10/cuda/CUDAGuard.h>

#include "core/kernels/gpu/decoder/gate_rows.h"
#include "core/kernels/gpu/operators.h"
#include "core/kernels/gpu/queue_cuda.h"

namespace thaw::gpu {

void gate_rows(const at::Tensor& input, const at::Tensor& output, Activation activation) {
  const c10::cuda::CUDAGuard guard(input.device());
  const std::int64_t width = output.size(1);
  const bool packs = move_packs(width, {input, output});
  with_kernel_types(input.scalar_type(), packs, [&]<typename E, typename T, int N>() {
    GateRows<DeviceMemory, E, T, N> kernel;
    kernel.input = in<E>(input);
    kernel.output = out<E>(output);
    kernel.activation = activation;
    kernel.rows = output.size(0);
    kernel.width = width;
    queue(kernel);
  });
}

void gate_rows_backward(const at::Tensor& gradient, const at::Tensor& input,
                        const at::Tensor& input_gradient, Activation activation) {
  const c10::cuda::CUDAGuard guard(input.device());
  const std::int64_t width = gradient.size(1);
  const bool packs = move_packs(width, {gradient, input, input_gradient});
  with_kernel_types(input.scalar_type(), packs, [&]<typename E, typename T, int N>() {
    GateRowsBackward<DeviceMemory, E, T, N> kernel;
    kernel.gradient = in<E>(gradient);
    kernel.input = in<E>(input);
    kernel.input_gradient = out<E>(input_gradient);
    kernel.activation = activation;
    kernel.rows = gradient.size(0);
    kernel.width = width;
    queue(kernel);
  });
}

}  // namespace thaw::gpu
