#include "core/step/gradient_norm.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/ones_like.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros.h>
#include <c10/core/GradMode.h>

#include <utility>

#include "core/parallel/communicator.h"
#include "core/parallel/sharded_state.h"

namespace thaw {

namespace {

/// Undefined where there is no gradient.
at::Tensor norm_of_gradients(const std::vector<at::Tensor>& parameters) {
  std::vector<at::Tensor> gradients;
  for (const at::Tensor& parameter : parameters) {
    if (parameter.grad().defined()) {
      gradients.push_back(parameter.grad());
    }
  }
  return joint_norm(gradients);
}

}  // namespace

double gradient_norm(const std::vector<at::Tensor>& parameters) {
  const at::Tensor norm = norm_of_gradients(parameters);
  return norm.defined() ? norm.item().toDouble() : 0;
}

double weight_norm(const std::vector<at::Tensor>& parameters) {
  return joint_norm(parameters).item().toDouble();
}

at::Tensor shared_gradient_norm(const std::vector<at::Tensor>& parameters,
                                Communicator& communicator) {
  const bool on_gpu = !parameters.empty() && parameters.front().is_cuda();
  if (!on_gpu) return communicator.rank() == 0 ? norm_of_gradients(parameters) : at::Tensor();
  const c10::AutoGradMode no_grad(false);
  at::Tensor norm = norm_of_gradients(parameters);
  if (!norm.defined()) norm = at::zeros({}, parameters.front().options());
  if (communicator.size() > 1) {
    if (communicator.rank() != 0) norm.zero_();
    communicator.start_all_reduce(norm)->wait_on_stream();
  }
  return norm;
}

DeviceScale device_scale(const at::Tensor& norm, double limit) {
  const c10::AutoGradMode no_grad(false);
  return device_scale(norm, limit, norm.isfinite().logical_not_().to(at::kFloat));
}

DeviceScale device_scale(const at::Tensor& norm, double limit, at::Tensor not_finite) {
  const c10::AutoGradMode no_grad(false);
  if (limit == 0) return {{}, std::move(not_finite)};
  return {at::where(norm.gt(limit), limit / (norm + 1e-6), at::ones_like(norm)),
          std::move(not_finite)};
}

double clip_factor(double norm, double limit) { return norm > limit ? limit / (norm + 1e-6) : 1.0; }

}  // namespace thaw
