#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

namespace thaw {

/// Float buffers on the host that are used again when nobody holds them any more.
///
/// Fresh memory for a batch of images costs as much as filling it: the kernel maps and clears every
/// page, and the allocator gives such sizes back at once. A buffer counts as free when the pool's
/// own is the only reference to its storage, so views and what autograd saved keep it. Not
/// thread-safe; what was taken may be dropped on any thread.
class BufferPool {
 public:
  /// A tensor of `elements` floats, uninitialised.
  at::Tensor take(std::int64_t elements);

 private:
  std::vector<at::Tensor> buffers_;
};

}  // namespace thaw
