#include <ATen/ops/empty.h>
#include <c10/cuda/CUDAGuard.h>

#include "core/kernels/gpu/operators.h"
#include "core/kernels/gpu/queue_cuda.h"
#include "core/kernels/gpu/rows/add_norm.h"
#include "core/kernels/gpu/rows/sum_rows_cuda.h"
#include "core/kernels/row_samples.h"

namespace thaw::gpu {
namespace {

KeyedRows<DeviceMemory> keyed_rows_of(const at::Tensor& tensor,
                                      const std::optional<DropoutDraws>& draws) {
  const bool packed = draws && rows_are_tokens(*draws->rows, tensor.size(0));
  return keyed_rows(draws, packed, tensor.device());
}

}  // namespace

void add_norm(const AddNormTensors& t, double epsilon, const std::optional<DropoutDraws>& draws) {
  const c10::cuda::CUDAGuard guard(t.input.device());
  const std::int64_t width = t.input.size(1);
  const bool packs = move_packs(
      width, {t.input, t.bias, t.residual, t.scale, t.shift, t.output, t.rounded, t.normalized});
  with_kernel_types(t.input.scalar_type(), packs, [&]<typename E, typename T, int N>() {
    AddNorm<DeviceMemory, E, T, N> kernel;
    kernel.input = in<E>(t.input);
    kernel.bias = in<T>(t.bias);
    kernel.residual = in<T>(t.residual);
    kernel.scale = in<T>(t.scale);
    kernel.shift = in<T>(t.shift);
    kernel.output = out<T>(t.output);
    kernel.rounded = out<E>(t.rounded);
    kernel.normalized = out<T>(t.normalized);
    kernel.rstd = out<T>(t.rstd);
    kernel.keyed = keyed_rows_of(t.input, draws);
    kernel.rows = t.input.size(0);
    kernel.width = width;
    kernel.epsilon = static_cast<T>(epsilon);
    queue(kernel);
  });
}

void add_norm_backward(const AddNormGradients& t, at::ScalarType input_type,
                       const std::optional<DropoutDraws>& draws) {
  const c10::cuda::CUDAGuard guard(t.normalized.device());
  const std::int64_t rows = t.normalized.size(0), width = t.normalized.size(1);
  const bool sums = t.sums.defined();
  const at::Tensor parts =
      sums ? at::empty({parts_of(rows), 3, width}, t.normalized.options()) : at::Tensor();
  const bool packs = move_packs(width, {t.gradient, t.rounded_gradient, t.normalized, t.scale,
                                        t.input_gradient, t.residual_gradient, t.sums, parts});
  with_kernel_types(input_type, packs, [&]<typename E, typename T, int N>() {
    AddNormBackward<DeviceMemory, E, T, N> kernel;
    kernel.gradient = in<T>(t.gradient);
    kernel.rounded_gradient = in<E>(t.rounded_gradient);
    kernel.normalized = in<T>(t.normalized);
    kernel.rstd = in<T>(t.rstd);
    kernel.scale = in<T>(t.scale);
    kernel.input_gradient = out<E>(t.input_gradient);
    kernel.residual_gradient = out<T>(t.residual_gradient);
    kernel.parts = out<T>(parts);
    kernel.keyed = keyed_rows_of(t.normalized, draws);
    kernel.rows = rows;
    kernel.width = width;
    queue(kernel);
    if (sums) queue_sum_of_rows<T, T, N>(parts, t.sums);
  });
}

}  // namespace thaw::gpu
