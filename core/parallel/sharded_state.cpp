#include "core/parallel/sharded_state.h"

#include <ATen/ops/_foreach_norm.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/stack.h>
#include <c10/core/GradMode.h>

namespace thaw {

at::Tensor joint_norm(const std::vector<at::Tensor>& tensors) {
  const c10::AutoGradMode no_grad(false);
  if (tensors.empty()) return {};
  const at::Tensor norms = at::stack(at::_foreach_norm(tensors, 2));
  return at::linalg_vector_norm(norms, 2);
}

}  // namespace thaw
