#include "core/models/model_bytes.h"

#include <ATen/core/Tensor.h>

#include "core/models/model.h"

namespace thaw {

std::int64_t bytes_of_model(const Model& model) {
  std::int64_t bytes = 0;
  for (const at::Tensor& each : model.parameters()) {
    bytes += static_cast<std::int64_t>(each.nbytes());
  }
  for (const at::Tensor& each : model.buffers()) bytes += static_cast<std::int64_t>(each.nbytes());
  return bytes;
}

}  // namespace thaw
