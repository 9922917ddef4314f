#include "dist/reduction/gradient_slot.h"

#include <ATen/ops/_foreach_copy.h>
#include <c10/core/GradMode.h>

namespace thaw {

void put_into_slot(at::Tensor& grad, const at::Tensor& slot) {
  const c10::AutoGradMode no_grad(false);
  if (!slot.defined()) {
    if (!grad.is_contiguous()) grad = grad.contiguous();
  } else if (!grad.is_same(slot)) {
    slot.copy_(grad);
    if (grad.scalar_type() == slot.scalar_type()) grad = slot;
  }
}

void put_into_slots(const std::vector<SlotFill>& fills) {
  std::vector<at::Tensor> slots, gradients;
  for (const auto& [grad, slot] : fills) {
    if (!slot.defined() || !slot.is_cuda()) {
      put_into_slot(*grad, slot);
    } else if (!grad->is_same(slot)) {
      slots.push_back(slot);
      gradients.push_back(*grad);
      if (grad->scalar_type() == slot.scalar_type()) *grad = slot;
    }
  }
  const c10::AutoGradMode no_grad(false);
  if (!slots.empty()) at::_foreach_copy_(slots, gradients);
}

void take_from_slot(at::Tensor& grad, const at::Tensor& slot, const at::Tensor& parameter) {
  if (!slot.defined() || grad.is_same(slot)) return;
  if (parameter.scalar_type() == slot.scalar_type()) {
    grad = slot;
    return;
  }
  const c10::AutoGradMode no_grad(false);
  if (grad.defined()) {
    grad.copy_(slot);
  } else {
    grad = slot.to(parameter.scalar_type());
  }
}

}  // namespace thaw
