#pragma once

#include <ATen/core/Tensor.h>

#include <string>

namespace thaw {

/// A parameter or buffer under its module's name for it. Shares the module's storage.
struct NamedTensor {
  std::string name;
  at::Tensor tensor;
};

}  // namespace thaw
