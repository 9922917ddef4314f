#include <ATen/ops/empty.h>
#include <c10/cuda/CUDAGuard.h>

#include "core/kernels/gpu/operators.h"
#include "core/kernels/gpu/queue_cuda.h"
#include "core/kernels/gpu/rows/activate_rows.h"
#include "core/kernels/gpu/rows/sum_rows_cuda.h"

namespace thaw::gpu {

void activate_rows(const at::Tensor& input, const at::Tensor& bias, const at::Tensor& output,
                   Activation activation) {
  const c10::cuda::CUDAGuard guard(input.device());
  const std::int64_t width = input.size(1);
  const bool packs = move_packs(width, {input, bias, output});
  with_kernel_types(input.scalar_type(), packs, [&]<typename E, typename T, int N>() {
    ActivateRows<DeviceMemory, E, T, N> kernel;
    kernel.input = in<E>(input);
    kernel.bias = in<T>(bias);
    kernel.output = out<E>(output);
    kernel.activation = activation;
    kernel.rows = input.size(0);
    kernel.width = width;
    queue(kernel);
  });
}

void activate_rows_backward(const at::Tensor& gradient, const at::Tensor& input,
                            const at::Tensor& bias, const at::Tensor& input_gradient,
                            const at::Tensor& bias_gradient, Activation activation) {
  const c10::cuda::CUDAGuard guard(input.device());
  const std::int64_t rows = input.size(0), width = input.size(1);
  const bool sums = bias_gradient.defined();
  const at::Tensor parts = sums ? at::empty({parts_of(rows), width}, bias.options()) : at::Tensor();
  const bool packs =
      move_packs(width, {gradient, input, bias, input_gradient, bias_gradient, parts});
  with_kernel_types(input.scalar_type(), packs, [&]<typename E, typename T, int N>() {
    ActivateRowsBackward<DeviceMemory, E, T, N> kernel;
    kernel.gradient = in<E>(gradient);
    kernel.input = in<E>(input);
    kernel.bias = in<T>(bias);
    kernel.input_gradient = out<E>(input_gradient);
    kernel.bias_parts = out<T>(parts);
    kernel.activation = activation;
    kernel.rows = rows;
    kernel.width = width;
    queue(kernel);
    if (sums) queue_sum_of_rows<T, T, N>(parts, bias_gradient);
  });
}

}  // namespace thaw::gpu
