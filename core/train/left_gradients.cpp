#include "core/train/left_gradients.h"

#include <ATen/ops/from_blob.h>

namespace thaw {
namespace {

/// The same memory, kept by somebody else.
at::Tensor at_the_place_of(const at::Tensor& gradient) {
  if (!gradient.defined()) return {};
  return at::for_blob(gradient.data_ptr(), gradient.sizes())
      .strides(gradient.strides())
      .target_device(gradient.device())
      .options(gradient.options())
      .make_tensor();
}

}  // namespace

LeftGradients::LeftGradients(const std::vector<at::Tensor>& parameters) {
  for (const at::Tensor& parameter : parameters) {
    left_.push_back({parameter, at_the_place_of(parameter.grad())});
  }
}

void LeftGradients::put_back() const {
  for (const Left& each : left_) each.parameter.mutable_grad() = each.gradient;
}

void LeftGradients::take_away() const {
  for (const Left& each : left_) {
    if (each.gradient.defined() && each.parameter.grad().is_same(each.gradient)) {
      each.parameter.mutable_grad().reset();
    }
  }
}

}  // namespace thaw
