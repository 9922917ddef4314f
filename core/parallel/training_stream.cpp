#include "core/parallel/training_stream.h"

#include <c10/core/impl/VirtualGuardImpl.h>

namespace thaw {

std::optional<c10::Stream> stream_of(const std::vector<at::Tensor>& tensors) {
  for (const at::Tensor& tensor : tensors) {
    if (!tensor.is_cuda()) continue;
    return c10::impl::VirtualGuardImpl(tensor.device().type()).getStream(tensor.device());
  }
  return std::nullopt;
}

}  // namespace thaw
