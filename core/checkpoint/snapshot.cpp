#include "core/checkpoint/snapshot.h"

#include <ATen/ops/empty.h>
#include <c10/core/GradMode.h>

#include <utility>

namespace thaw {

void Snapshot::take(std::span<const NamedTensor> tensors) {
  const c10::AutoGradMode no_grad(false);
  std::map<std::string, at::Tensor> before = std::exchange(memory_, {});
  items_.clear();
  for (const NamedTensor& each : tensors) {
    at::Tensor& copy = memory_[each.name];
    auto known = before.find(each.name);
    if (known != before.end() && known->second.sizes() == each.tensor.sizes() &&
        known->second.scalar_type() == each.tensor.scalar_type()) {
      copy = std::move(known->second);
    } else {
      // Contiguous, whatever the layout of the source: it is what a file holds.
      copy = at::empty(each.tensor.sizes(),
                       at::TensorOptions(each.tensor.scalar_type()).device(at::kCPU));
    }
    copy.copy_(each.tensor);
    items_.push_back({each.name, copy, std::nullopt});
  }
}

std::int64_t Snapshot::bytes() const {
  std::int64_t bytes = 0;
  for (const SafetensorsItem& item : items_) {
    bytes += static_cast<std::int64_t>(item.tensor.nbytes());
  }
  return bytes;
}

}  // namespace thaw
