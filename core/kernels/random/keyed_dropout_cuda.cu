#include "core/kernels/random/keyed_dropout_cuda.h"

#include <ATen/Dispatch.h>
#include <ATen/cuda/CUDAContext.h>
#include <ATen/ops/empty_like.h>
#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAGuard.h>

#include <cstdint>

#include "core/kernels/rows/device_rows.h"

namespace thaw {
namespace {

constexpr int kThreads = 256;

/// The sample that token `row` belongs to: the last that begins at or before it.
__device__ std::int64_t sample_of(std::int64_t row, const std::int32_t* offsets, std::int64_t n) {
  std::int64_t low = 0, high = n;
  while (high - low > 1) {
    const std::int64_t middle = (low + high) / 2;
    (offsets[middle] <= row ? low : high) = middle;
  }
  return low;
}

/// A thread makes one Philox call for eight elements, 16 apart (Note [Keyed draws]), so
/// neighbouring threads touch neighbouring elements.
template <typename scalar_t>
__global__ void drop_rows(const scalar_t* input, scalar_t* output, std::int64_t rows,
                          std::int64_t width, DropoutKey key, const std::int64_t* samples,
                          const std::int32_t* offsets, std::int64_t n) {
  const std::int64_t blocks = (width + 127) / 128;
  const std::int64_t calls = rows * blocks * 16;
  for (std::int64_t call = blockIdx.x * std::int64_t{kThreads} + threadIdx.x; call < calls;
       call += std::int64_t{gridDim.x} * kThreads) {
    const std::int64_t row = call / (blocks * 16);
    const std::int64_t within = call % (blocks * 16);
    std::int64_t sample = row;
    std::int64_t token = 0;
    if (offsets != nullptr) {
      sample = sample_of(row, offsets, n);
      token = row - offsets[sample];
    }
    const auto id = static_cast<std::uint64_t>(samples[sample]);
    const Philox::Counter words =
        Philox::draw({static_cast<std::uint32_t>(within), static_cast<std::uint32_t>(token),
                      static_cast<std::uint32_t>(id), static_cast<std::uint32_t>(id >> 32)},
                     key.key);
    const std::int64_t first = within / 16 * 128 + within % 16;
    for (int half_word = 0; half_word < 8 && first + half_word * 16 < width; ++half_word) {
      const std::uint32_t bits = (words[half_word / 2] >> (half_word % 2 * 16)) & 0xFFFF;
      const std::int64_t at = row * width + first + half_word * 16;
      output[at] = bits >= key.threshold
                       ? static_cast<scalar_t>(input[at] * static_cast<scalar_t>(key.scale))
                       : scalar_t(0);
    }
  }
}

template <typename scalar_t>
__global__ void drop_attention(const scalar_t* input, scalar_t* output, std::int64_t elements,
                               std::int64_t heads, std::int64_t padded, DropoutKey key,
                               const std::int64_t* samples, const std::int32_t* offsets) {
  for (std::int64_t at = blockIdx.x * std::int64_t{kThreads} + threadIdx.x; at < elements;
       at += std::int64_t{gridDim.x} * kThreads) {
    const std::int64_t matrix = at / (padded * padded);
    const std::int64_t query = at / padded % padded;
    const std::int64_t other = at % padded;
    const std::int64_t n = matrix / heads;
    const std::int64_t length = offsets[n + 1] - offsets[n];
    bool kept = false;
    if (query < length && other < length) {
      kept = key.keeps(static_cast<std::uint64_t>(samples[n]),
                       static_cast<std::uint32_t>(matrix % heads),
                       static_cast<std::uint32_t>(query * length + other));
    }
    output[at] =
        kept ? static_cast<scalar_t>(input[at] * static_cast<scalar_t>(key.scale)) : scalar_t(0);
  }
}

int grid_for(std::int64_t threads) {
  const std::int64_t blocks = (threads + kThreads - 1) / kThreads;
  const std::int64_t most = 32L * at::cuda::getCurrentDeviceProperties()->multiProcessorCount;
  return static_cast<int>(blocks < most ? blocks : most);
}

}  // namespace

at::Tensor keyed_dropout_cuda(const at::Tensor& input, const DropoutDraws& draws, bool packed) {
  const c10::cuda::CUDAGuard guard(input.device());
  at::Tensor output = at::empty_like(input);
  const std::int64_t rows = input.size(0);
  const std::int64_t width = input.numel() / rows;
  const DeviceRows& on_gpu = on_device(*draws.rows, input.device());
  const at::Tensor &samples = on_gpu.samples, &offsets = on_gpu.offsets;
  const int grid = grid_for(rows * ((width + 127) / 128) * 16);
  AT_DISPATCH_FLOATING_TYPES_AND(at::kBFloat16, input.scalar_type(), "keyed_dropout", [&] {
    drop_rows<scalar_t><<<grid, kThreads, 0, at::cuda::getCurrentCUDAStream()>>>(
        input.const_data_ptr<scalar_t>(), output.mutable_data_ptr<scalar_t>(), rows, width,
        draws.key, samples.const_data_ptr<std::int64_t>(),
        packed ? offsets.const_data_ptr<std::int32_t>() : nullptr, draws.rows->size());
  });
  C10_CUDA_KERNEL_LAUNCH_CHECK();
  return output;
}

at::Tensor keyed_attention_dropout_cuda(const at::Tensor& input, const DropoutDraws& draws) {
  const c10::cuda::CUDAGuard guard(input.device());
  at::Tensor output = at::empty_like(input);
  if (input.numel() == 0) {
    return output;
  }
  const DeviceRows& on_gpu = on_device(*draws.rows, input.device());
  const at::Tensor &samples = on_gpu.samples, &offsets = on_gpu.offsets;
  const int grid = grid_for(input.numel());
  AT_DISPATCH_FLOATING_TYPES_AND(
      at::kBFloat16, input.scalar_type(), "keyed_attention_dropout", [&] {
        drop_attention<scalar_t><<<grid, kThreads, 0, at::cuda::getCurrentCUDAStream()>>>(
            input.const_data_ptr<scalar_t>(), output.mutable_data_ptr<scalar_t>(), input.numel(),
            input.size(1), input.size(2), draws.key, samples.const_data_ptr<std::int64_t>(),
            offsets.const_data_ptr<std::int32_t>());
      });
  C10_CUDA_KERNEL_LAUNCH_CHECK();
  return output;
}

}  // namespace thaw
