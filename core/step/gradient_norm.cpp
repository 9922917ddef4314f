#include "core/step/gradient_norm.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/_foreach_norm.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/stack.h>
#include <c10/core/GradMode.h>

#include "core/parallel/communicator.h"

namespace thaw {

double gradient_norm(const std::vector<at::Tensor>& parameters) {
  const c10::AutoGradMode no_grad(false);
  std::vector<at::Tensor> gradients;
  for (const at::Tensor& parameter : parameters) {
    if (parameter.grad().defined()) {
      gradients.push_back(parameter.grad());
    }
  }
  if (gradients.empty()) {
    return 0;
  }
  const at::Tensor norms = at::stack(at::_foreach_norm(gradients, 2));
  return at::linalg_vector_norm(norms, 2).item().toDouble();
}

double global_gradient_norm(const std::vector<at::Tensor>& parameters, Communicator& communicator) {
  std::vector<double> norm = {communicator.rank() == 0 ? gradient_norm(parameters) : 0};
  broadcast_numbers(communicator, norm);
  return norm[0];
}

double clip_factor(double norm, double limit) { return norm > limit ? limit / (norm + 1e-6) : 1.0; }

}  // namespace thaw
