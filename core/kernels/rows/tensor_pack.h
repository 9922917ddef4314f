#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/ScalarType.h>

#include <cstddef>
#include <cstdint>
#include <vector>

namespace thaw {

/// Where tensors lie side by side in one buffer of bytes, so that one copy moves all of them to a
/// GPU. First `add` all, then `allocate`, fill the views, copy, and view the copy likewise.
class TensorPack {
 public:
  /// Room for one more, aligned for any kernel; returns its number.
  std::size_t add(at::ScalarType type, std::vector<std::int64_t> sizes);

  /// A buffer on the host for what was added so far, not initialised. `pinned`: in memory that a
  /// GPU reads by itself, from LibTorch's own pool, which gives it to nobody else before the
  /// copies that were queued from it are over.
  at::Tensor allocate(bool pinned) const;

  /// Part `part` of `bytes`, which `allocate` made or which is a copy of that, on any device.
  at::Tensor view(const at::Tensor& bytes, std::size_t part) const;

  std::int64_t size() const { return size_; }

 private:
  struct Part {
    at::ScalarType type;
    std::vector<std::int64_t> sizes;
    std::int64_t first;  ///< byte
    std::int64_t bytes;
  };
  std::vector<Part> parts_;
  std::int64_t size_ = 0;
};

}  // namespace thaw
