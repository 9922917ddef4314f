#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <c10/cuda/CUDAGuard.h>

#include "core/kernels/gpu/attention/attention.h"
#include "core/kernels/gpu/attention/attention_backward.h"
#include "core/kernels/gpu/operators.h"
#include "core/kernels/gpu/queue_cuda.h"

namespace thaw::gpu {
namespace {

/// What forward reads and backward too; a fresh output is aligned.
AttentionTensors aligned(const AttentionTensors& t) {
  AttentionTensors result = t;
  result.projected = gpu::aligned(t.projected);
  for (at::Tensor& bias : result.biases) {
    if (bias.defined()) bias = gpu::aligned(bias);
  }
  return result;
}

AttentionOperands<DeviceMemory> operands_of(const AttentionTensors& t, std::int64_t heads,
                                            const SampleRows& rows,
                                            const std::optional<DropoutDraws>& draws) {
  const DeviceRows& index = on_device(rows, t.projected.device());
  AttentionOperands<DeviceMemory> result;
  result.projected = in<BFloat16Bits>(t.projected);
  for (std::size_t part = 0; part < 3; ++part) result.biases[part] = in<float>(t.biases[part]);
  result.offsets = numbers<std::int32_t>(index.offsets);
  result.count = rows.size();
  result.heads = heads;
  result.tokens = t.projected.size(0);
  result.longest = index.longest;
  result.scale = static_cast<float>(t.scale);
  result.causal = t.causal;
  if (draws) {
    result.drops = true;
    result.key = draws->key;
    result.samples = numbers<std::int64_t>(on_device(*draws->rows, t.projected.device()).samples);
  }
  return result;
}

/// Calls `body` with the size of a head as a compile-time constant.
template <typename Body>
void with_head_size(std::int64_t size, const Body& body) {
  switch (size) {
    case 32:
      return body(std::integral_constant<int, 32>());
    case 64:
      return body(std::integral_constant<int, 64>());
    default:
      return body(std::integral_constant<int, 128>());
  }
}

}  // namespace

bool attends(const at::Tensor& projected, std::int64_t heads) {
  const std::int64_t size = projected.size(1) / 3 / heads;
  return kBuilt && projected.is_cuda() && projected.scalar_type() == at::kBFloat16 &&
         (size == 32 || size == 64 || size == 128);
}

void attend(const AttentionTensors& tensors, std::int64_t heads, const SampleRows& rows,
            const std::optional<DropoutDraws>& draws) {
  const c10::cuda::CUDAGuard guard(tensors.projected.device());
  const AttentionTensors t = aligned(tensors);
  with_head_size(t.output.size(1) / heads, [&](auto size) {
    AttendRows<DeviceMemory, decltype(size)::value> kernel;
    kernel.operands = operands_of(t, heads, rows, draws);
    kernel.output = out<BFloat16Bits>(t.output);
    kernel.log_sums = out<float>(t.log_sums);
    queue(kernel);
  });
}

at::Tensor attend_backward(const AttentionTensors& tensors, const at::Tensor& output_gradient,
                           std::int64_t heads, const SampleRows& rows,
                           const std::optional<DropoutDraws>& draws) {
  const c10::cuda::CUDAGuard guard(tensors.projected.device());
  const AttentionTensors t = aligned(tensors);
  const at::Tensor gradient = gpu::aligned(output_gradient);
  at::Tensor projected_gradient = at::empty_like(t.projected);
  const at::Tensor deltas = at::empty_like(t.log_sums);
  with_head_size(t.output.size(1) / heads, [&](auto size) {
    AttentionGradient<DeviceMemory> operands;
    operands.of = operands_of(t, heads, rows, draws);
    operands.gradient = in<BFloat16Bits>(gradient);
    operands.log_sums = in<float>(t.log_sums);
    AttendRowsQueryGradient<DeviceMemory, decltype(size)::value> of_queries;
    of_queries.operands = operands;
    of_queries.output = in<BFloat16Bits>(t.output);
    of_queries.projected_gradient = out<BFloat16Bits>(projected_gradient);
    of_queries.deltas = out<float>(deltas);
    queue(of_queries);
    AttendRowsKeyGradient<DeviceMemory, decltype(size)::value> of_keys;
    of_keys.operands = operands;
    of_keys.deltas = in<float>(deltas);
    of_keys.projected_gradient = out<BFloat16Bits>(projected_gradient);
    queue(of_keys);
  });
  return projected_gradient;
}

}  // namespace thaw::gpu
