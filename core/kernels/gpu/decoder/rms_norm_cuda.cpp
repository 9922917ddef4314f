#include <ATen/ops/empty.h>
#include <c10/cuda/CUDAGuard.h>

#include "core/kernels/gpu/decoder/rms_norm.h"
#include "core/kernels/gpu/operators.h"
#include "core/kernels/gpu/queue_cuda.h"
#include "core/kernels/gpu/rows/sum_rows_cuda.h"

namespace thaw::gpu {

void rms_norm(const RmsNormTensors& t, double epsilon) {
  const c10::cuda::CUDAGuard guard(t.normed.device());
  const std::int64_t width = t.normed.size(1);
  const bool packs = move_packs(width, {t.input, t.residual, t.weight, t.sum, t.normed});
  with_kernel_types(t.normed.scalar_type(), packs, [&]<typename E, typename T, int N>() {
    RmsNorm<DeviceMemory, E, T, N> kernel;
    kernel.input = in<E>(t.input);
    kernel.residual = in<T>(t.residual);
    kernel.weight = in<T>(t.weight);
    kernel.sum = out<T>(t.sum);
    kernel.normed = out<E>(t.normed);
    kernel.rstd = out<T>(t.rstd);
    kernel.rows = t.normed.size(0);
    kernel.width = width;
    kernel.epsilon = static_cast<T>(epsilon);
    queue(kernel);
  });
}

void rms_norm_backward(const RmsNormGradients& t) {
  const c10::cuda::CUDAGuard guard(t.gradient.device());
  const std::int64_t rows = t.gradient.size(0), width = t.gradient.size(1);
  const bool sums = t.weight_gradient.defined();
  const at::Tensor parts =
      sums ? at::empty({parts_of(rows), width}, t.weight_gradient.options()) : at::Tensor();
  const bool packs =
      move_packs(width, {t.gradient, t.sum_gradient, t.sum, t.weight, t.input_gradient,
                         t.residual_gradient, t.weight_gradient, parts});
  with_kernel_types(t.gradient.scalar_type(), packs, [&]<typename E, typename T, int N>() {
    RmsNormBackward<DeviceMemory, E, T, N> kernel;
    kernel.gradient = in<E>(t.gradient);
    kernel.sum_gradient = in<T>(t.sum_gradient);
    kernel.sum = in<T>(t.sum);
    kernel.rstd = in<T>(t.rstd);
    kernel.weight = in<T>(t.weight);
    kernel.input_gradient = out<E>(t.input_gradient);
    kernel.residual_gradient = out<T>(t.residual_gradient);
    kernel.parts = out<T>(parts);
    kernel.rows = rows;
    kernel.width = width;
    queue(kernel);
    if (sums) queue_sum_of_rows<T, T, N>(parts, t.weight_gradient);
  });
}

}  // namespace thaw::gpu
