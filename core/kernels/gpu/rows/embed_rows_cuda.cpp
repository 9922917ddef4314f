#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/sort.h>
#include <ATen/ops/zeros_like.h>
#include <c10/cuda/CUDAGuard.h>

#include "core/kernels/gpu/operators.h"
#include "core/kernels/gpu/queue_cuda.h"
#include "core/kernels/gpu/rows/embed_rows.h"
#include "core/kernels/gpu/rows/sum_rows_cuda.h"

namespace thaw::gpu {

at::Tensor embed_rows(const at::Tensor& tokens, const at::Tensor& token_types,
                      const at::Tensor& words, const at::Tensor& positions, const at::Tensor& types,
                      const SampleRows& rows) {
  const c10::cuda::CUDAGuard guard(words.device());
  const std::int64_t width = words.size(1);
  at::Tensor output = at::empty({tokens.size(0), width}, words.options());
  const bool packs = move_packs(width, {words, positions, types, output});
  with_kernel_types(words.scalar_type(), packs, [&]<typename E, typename T, int N>() {
    EmbedRows<DeviceMemory, E, T, N> kernel;
    kernel.words = in<E>(words);
    kernel.positions = in<E>(positions);
    kernel.types = in<E>(types);
    kernel.tokens = numbers<std::int64_t>(tokens);
    kernel.token_types = numbers<std::int64_t>(token_types);
    kernel.places = numbers<std::int32_t>(on_device(rows, words.device()).places);
    kernel.output = out<E>(output);
    kernel.rows = tokens.size(0);
    kernel.width = width;
    queue(kernel);
  });
  return output;
}

at::Tensor word_gradient(const at::Tensor& gradient, const at::Tensor& tokens,
                         const at::Tensor& words, const SampleRows& rows, std::int64_t padding) {
  const c10::cuda::CUDAGuard guard(gradient.device());
  at::Tensor table = at::zeros_like(words);
  const std::int64_t count = tokens.size(0), width = words.size(1);
  // Sorted where the batch was put together, else here.
  at::Tensor order = on_device(rows, gradient.device()).tokens_by_word;
  if (!order.defined() || order.size(0) != count) {
    order = std::get<1>(at::sort(tokens, /*stable=*/true, /*dim=*/0)).to(at::kInt);
  }
  const at::Tensor heads = at::empty({stretches_of(count), width},
                                     gradient.options().dtype(compute_type(words.scalar_type())));
  const at::Tensor tails = at::empty_like(heads);
  const bool packs = move_packs(width, {gradient, table, heads, tails});
  with_kernel_types(gradient.scalar_type(), packs, [&]<typename E, typename T, int N>() {
    const SortedTokens<DeviceMemory> sorted = {numbers<std::int64_t>(tokens),
                                               numbers<std::int32_t>(order), count, padding};
    AddSortedRows<DeviceMemory, E, T, N> first;
    first.sorted = sorted;
    first.gradient = in<E>(gradient);
    first.table = out<E>(table);
    first.heads = out<T>(heads);
    first.tails = out<T>(tails);
    first.width = width;
    queue(first);
    AddBorderRows<DeviceMemory, E, T, N> second;
    second.sorted = sorted;
    second.heads = in<T>(heads);
    second.tails = in<T>(tails);
    second.table = out<E>(table);
    second.width = width;
    queue(second);
  });
  return table;
}

at::Tensor position_gradient(const at::Tensor& gradient, const at::Tensor& positions,
                             const SampleRows& rows) {
  const c10::cuda::CUDAGuard guard(gradient.device());
  at::Tensor table = at::empty_like(positions);
  const bool packs = move_packs(positions.size(1), {gradient, table});
  with_kernel_types(gradient.scalar_type(), packs, [&]<typename E, typename T, int N>() {
    AddPlaceRows<DeviceMemory, E, T, N> kernel;
    kernel.gradient = in<E>(gradient);
    kernel.offsets = numbers<std::int32_t>(on_device(rows, gradient.device()).offsets);
    kernel.table = out<E>(table);
    kernel.samples = rows.size();
    kernel.positions = positions.size(0);
    kernel.width = positions.size(1);
    queue(kernel);
  });
  return table;
}

at::Tensor type_gradient(const at::Tensor& gradient, const at::Tensor& token_types,
                         const at::Tensor& types) {
  const c10::cuda::CUDAGuard guard(gradient.device());
  at::Tensor table = at::empty_like(types);
  const std::int64_t count = gradient.size(0), width = types.size(1);
  const at::Tensor parts = at::empty({parts_of(count), types.size(0), width},
                                     gradient.options().dtype(compute_type(types.scalar_type())));
  const bool packs = move_packs(width, {gradient, table, parts});
  with_kernel_types(gradient.scalar_type(), packs, [&]<typename E, typename T, int N>() {
    AddTypeRows<DeviceMemory, E, T, N> kernel;
    kernel.gradient = in<E>(gradient);
    kernel.token_types = numbers<std::int64_t>(token_types);
    kernel.parts = out<T>(parts);
    kernel.rows = count;
    kernel.types = types.size(0);
    kernel.width = width;
    queue(kernel);
    queue_sum_of_rows<E, T, N>(parts, table);
  });
  return table;
}

}  // namespace thaw::gpu
