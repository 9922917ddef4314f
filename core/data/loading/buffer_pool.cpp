#include "core/data/loading/buffer_pool.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/narrow.h>

namespace thaw {

at::Tensor BufferPool::take(std::int64_t elements) {
  for (at::Tensor& buffer : buffers_) {
    if (buffer.storage().use_count() != 1) continue;
    // The count is read without order. Dropping a reference is ordered after the drops before it,
    // so what the last user did is over when this returns.
    { const c10::Storage reference = buffer.storage(); }
    if (buffer.numel() < elements) buffer = at::empty({elements}, at::kFloat);
    return buffer.narrow(0, 0, elements);
  }
  // More than a loader reads ahead are in use: the user keeps batches, which is not this pool's
  // concern.
  constexpr std::size_t kMost = 16;
  at::Tensor buffer = at::empty({elements}, at::kFloat);
  if (buffers_.size() < kMost) buffers_.push_back(buffer);
  return buffer.narrow(0, 0, elements);
}

}  // namespace thaw
