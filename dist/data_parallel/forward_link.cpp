#include "dist/data_parallel/forward_link.h"

#include <c10/core/GradMode.h>

#include <optional>

#include "core/base/error.h"
#include "dist/data_parallel/backward_pass.h"
#include "dist/data_parallel/weighted_steps.h"

namespace thaw {

namespace {

std::optional<std::int64_t> rows_of_first_tensor(const AnyForward::Arguments& arguments) {
  for (const std::any& argument : arguments) {
    const auto* tensor = std::any_cast<at::Tensor>(&argument);
    if (tensor != nullptr && tensor->defined() && tensor->dim() > 0) return tensor->size(0);
  }
  return std::nullopt;
}

}  // namespace

void ForwardLink::enter(WeightedSteps* steps) {
  if (target_) target_->steps = nullptr;
  target_ = steps == nullptr ? nullptr : std::make_shared<Target>(Target{steps});
}

std::any ForwardLink::run(AnyForward::Arguments& arguments) {
  const bool recorded = c10::GradMode::is_enabled();
  if (!target_ || !recorded) return std::move(forward_(arguments).value);
  WeightedSteps& steps = *target_->steps;
  steps.require_ready("forward");
  std::optional<std::int64_t> samples = steps.take_announced();
  if (!samples) samples = rows_of_first_tensor(arguments);
  if (!samples) {
    throw InputError(
        "forward: none of the arguments is a tensor whose rows are samples; say announce(samples) "
        "before it");
  }
  AnyForward::Result result = forward_(arguments);
  bool all = !result.tensors.empty();
  for (const at::Tensor& output : result.tensors) {
    if (!output.defined() || !output.requires_grad()) continue;
    all = at_backward_of(
              output,
              [target = target_, samples = *samples] {
                if (target->steps == nullptr) {
                  throw RunError(
                      "this backward goes through a forward from before the last activate, or of a "
                      "DataParallel that has ended: call activate between steps, and keep it until "
                      "then");
                }
                target->steps->reach_output(samples);
              },
              [target = target_, samples = *samples](std::uint64_t backward) {
                if (target->steps != nullptr) target->steps->leave_unreached(backward, samples);
              }) &&
          all;
  }
  if (!all) steps.announce(*samples, /*by_forward=*/true);  // its gradients begin the step
  return std::move(result.value);
}

}  // namespace thaw
