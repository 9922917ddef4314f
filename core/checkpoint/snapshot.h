#pragma once

#include <map>
#include <span>
#include <string>
#include <vector>

#include "core/models/weights/safetensors.h"
#include "core/parallel/stage_coordinator.h"

namespace thaw {

/// Copies of tensors in host memory, taken between two steps, so that training goes on while they
/// are written. The memory is kept for the next copy: it costs its pages once.
class Snapshot {
 public:
  /// Overwrites what was copied before. Blocks until all is copied, from GPUs too.
  void take(std::span<const NamedTensor> tensors);

  const std::vector<SafetensorsItem>& items() const { return items_; }
  std::int64_t bytes() const;

 private:
  std::map<std::string, at::Tensor> memory_;
  std::vector<SafetensorsItem> items_;
};

}  // namespace thaw
