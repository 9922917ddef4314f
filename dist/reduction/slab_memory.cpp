#include "dist/reduction/slab_memory.h"

#include <ATen/ops/empty.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <cstring>

namespace thaw {

at::Tensor SlabMemory::take(at::ScalarType type, at::Device device, std::int64_t length) {
  const c10::AutoGradMode no_grad(false);
  auto block = std::find_if(blocks_.begin(), blocks_.end(), [&](const at::Tensor& one) {
    return one.scalar_type() == type && one.device() == device;
  });
  if (block == blocks_.end()) block = blocks_.emplace(block);
  const bool fits =
      block->defined() && block->numel() >= length && block->numel() <= length + length / 4;
  if (!fits) {
    block->reset();  // before the new one: both at once would be the peak
    *block = at::empty({length}, at::dtype(type).device(device));
  }
  return block->narrow(0, 0, length);
}

void SlabMemory::touch() {
  for (const at::Tensor& block : blocks_) {
    // Not `zero_`, which would start a team of threads of its own beside the one that trains.
    if (block.is_cpu()) std::memset(block.mutable_data_ptr(), 0, block.nbytes());
  }
}

}  // namespace thaw
