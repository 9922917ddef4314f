#include "core/step/trainable.h"

#include <ATen/core/Tensor.h>

namespace thaw {

void set_trainable(const at::Tensor& parameter, bool trainable) {
  parameter.set_requires_grad(trainable);
  if (!trainable) parameter.mutable_grad().reset();
}

}  // namespace thaw
