#pragma once

// From tensors to the operands of kernels, for the *_cuda.cpp of the folders here alone.

#include <ATen/core/Tensor.h>
#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAStream.h>

#include <initializer_list>
#include <optional>

#include "core/kernels/element_types.h"
#include "core/kernels/gpu/grid.h"
#include "core/kernels/gpu/keyed_rows.h"
#include "core/kernels/gpu/launch.h"
#include "core/kernels/rows/device_rows.h"

namespace thaw::gpu {

template <typename E>
DeviceMemory::In<E> in(const at::Tensor& tensor) {
  return {elements<E>(tensor)};
}
template <typename E>
DeviceMemory::Out<E> out(const at::Tensor& tensor) {
  return {mutable_elements<E>(tensor)};
}
template <typename I>
DeviceMemory::In<I> numbers(const at::Tensor& tensor) {
  return {tensor.defined() && tensor.numel() > 0 ? tensor.const_data_ptr<I>() : nullptr};
}

/// `tensor`, or a copy of it where packs may not lie in its place; for kernels that move nothing
/// else.
inline at::Tensor aligned(const at::Tensor& tensor) {
  return reinterpret_cast<std::uintptr_t>(tensor.const_data_ptr()) % 16 == 0 ? tensor
                                                                             : tensor.clone();
}

/// Whether rows of `width` elements of all these tensors can be moved by packs of four.
inline bool move_packs(std::int64_t width, std::initializer_list<at::Tensor> tensors) {
  for (const at::Tensor& tensor : tensors) {
    if (tensor.defined() && reinterpret_cast<std::uintptr_t>(tensor.const_data_ptr()) % 16 != 0) {
      return false;
    }
  }
  return width % 4 == 0;
}

/// Calls `body.operator()<E, T, N>()`: element in memory, what it is computed in, elements moved at
/// once.
template <typename Body>
void with_kernel_types(at::ScalarType type, bool packs, const Body& body) {
  with_element_types(type, [&]<typename E, typename T>() {
    if (packs) {
      body.template operator()<E, T, 4>();
    } else {
      body.template operator()<E, T, 1>();
    }
  });
}

inline KeyedRows<DeviceMemory> keyed_rows(const std::optional<DropoutDraws>& draws, bool packed,
                                          const at::Device& device) {
  if (!draws) return {};
  const DeviceRows& rows = on_device(*draws->rows, device);
  KeyedRows<DeviceMemory> result;
  result.key = draws->key;
  result.drops = true;
  result.samples = numbers<std::int64_t>(rows.samples);
  if (packed) {
    result.owners = numbers<std::int32_t>(rows.owners);
    result.places = numbers<std::int32_t>(rows.places);
  }
  return result;
}

/// Queues the kernel on the current stream.
template <typename Kernel>
void queue(const Kernel& kernel) {
  launch(kernel, c10::cuda::getCurrentCUDAStream());
  C10_CUDA_KERNEL_LAUNCH_CHECK();
}

}  // namespace thaw::gpu
