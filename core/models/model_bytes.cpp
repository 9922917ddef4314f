#include "core/models/model_bytes.h"

#include <ATen/core/Tensor.h>

#include "core/models/model.h"

namespace thaw {

std::int64_t bytes_of_tensors(const std::vector<at::Tensor>& tensors) {
  std::int64_t bytes = 0;
  for (const at::Tensor& tensor : tensors) bytes += static_cast<std::int64_t>(tensor.nbytes());
  return bytes;
}

std::int64_t bytes_of_model(const Model& model) {
  return bytes_of_tensors(model.parameters()) + bytes_of_tensors(model.buffers());
}

}  // namespace thaw
