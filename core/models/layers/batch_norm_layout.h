#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace thaw {

/// How many values each channel of `input`, [n, C, ...], has.
inline std::int64_t values_per_channel(const at::Tensor& input) {
  std::int64_t values = input.size(0);
  for (std::int64_t i = 2; i < input.dim(); ++i) values *= input.size(i);
  return values;
}

/// `tensor` in the memory order of `reference`, of the same shape: row-major or channels last.
inline at::Tensor in_layout_of(const at::Tensor& tensor, const at::Tensor& reference) {
  auto format = at::MemoryFormat::Contiguous;
  if (!reference.is_contiguous() && reference.dim() == 4) format = at::MemoryFormat::ChannelsLast;
  if (!reference.is_contiguous() && reference.dim() == 5) format = at::MemoryFormat::ChannelsLast3d;
  return tensor.contiguous(format);
}

}  // namespace thaw
