#include "core/kernels/rows/tensor_pack.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/narrow.h>
#include <c10/util/accumulate.h>

#include <utility>

namespace thaw {
namespace {

/// Of cudaMalloc's memory, a vector load of any width.
constexpr std::int64_t kAlignment = 256;

}  // namespace

std::size_t TensorPack::add(at::ScalarType type, std::vector<std::int64_t> sizes) {
  const std::int64_t bytes =
      c10::multiply_integers(sizes) * static_cast<std::int64_t>(c10::elementSize(type));
  parts_.push_back({type, std::move(sizes), size_, bytes});
  size_ += (bytes + kAlignment - 1) / kAlignment * kAlignment;
  return parts_.size() - 1;
}

at::Tensor TensorPack::allocate(bool pinned) const {
  return at::empty({size_}, at::TensorOptions(at::kByte).pinned_memory(pinned));
}

at::Tensor TensorPack::view(const at::Tensor& bytes, std::size_t part) const {
  const Part& at = parts_.at(part);
  return bytes.narrow(0, at.first, at.bytes).view(at.type).view(at.sizes);
}

}  // namespace thaw
