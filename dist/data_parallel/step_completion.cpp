// The second half of WeightedSteps: what opens, weights and completes a step.
#include <ATen/ops/_foreach_mul.h>
#include <ATen/ops/_foreach_zero.h>
#include <c10/core/GradMode.h>
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "core/base/error.h"
#include "core/parallel/active_set.h"
#include "core/parallel/tensor_checks.h"
#include "dist/data_parallel/weighted_steps.h"
#include "dist/reduction/reduction_fault.h"

namespace thaw {

void WeightedSteps::open(Step step, bool has_samples) {
  step_ = step;
  parts_.places.step_begun();
  weighted_.assign(active_.size(), false);
  micro_samples_ = 0;
  reducer_->begin({has_samples ? 1 : 0, 1});  // weights are ours: it need not know more
  watch_.remember();
}

void WeightedSteps::open_with_gradients_that_are_there() {
  const c10::AutoGradMode no_grad(false);
  std::vector<at::Tensor> gradients(active_.size());
  for (std::size_t i = 0; i < active_.size(); ++i) {
    if (watch_.is_left_over(i)) continue;
    const at::Tensor& grad = active_[i].tensor.grad();
    // What the step before handed out may lie where this one's gradients will, in another order.
    gradients[i] = watch_.is_remembered(i) ? grad.clone() : grad;
  }
  open(Step::kExplicit, /*has_samples=*/true);
  for (std::size_t i = 0; i < active_.size(); ++i) {
    active_[i].tensor.mutable_grad() = std::move(gradients[i]);
  }
}

void WeightedSteps::close() {
  step_ = Step::kNone;
  samples_.reset();
  ending_ = false;
  micro_samples_ = 0;
  header_.reset();
  put_by_.clear();
  parts_.loss_share.samples = -1;
  parts_.rules.fault.clear();
  parts_.rules.refuse_unused = false;
}

void WeightedSteps::put_by_gradients() {
  const c10::AutoGradMode no_grad(false);
  put_by_.assign(active_.size(), at::Tensor());
  for (std::size_t i = 0; i < active_.size(); ++i) {
    const at::Tensor& grad = active_[i].tensor.grad();
    // A copy: it may lie where the step's gradients will.
    if (grad.defined()) put_by_[i] = grad.is_sparse() ? grad.to_dense() : grad.clone();
  }
}

bool WeightedSteps::has_put_by() const {
  return std::any_of(put_by_.begin(), put_by_.end(),
                     [](const at::Tensor& gradient) { return gradient.defined(); });
}

std::string WeightedSteps::uneven_start(const StepShares& shares) const {
  const int taking_part = parts_.totals.size() - shares.joined + shares.following;
  if (shares.automatic == 0 || shares.holding == 0 || shares.holding == taking_part) return {};
  return fmt::format(
      "gradients from before the step stood in `.grad` on {} of the {} ranks that take part in it; "
      "what forward announced adds to them, so that the ranks' gradients would differ: call "
      "zero_grad() before a step on all ranks or on none, and mix no begin or finish in{}",
      shares.holding, taking_part,
      shares.following == 0
          ? ""
          : "; a rank in join(after_step) starts from none: let zero_grad() leave "
            "none where some may join");
}

std::string WeightedSteps::misuse(std::int64_t samples) const {
  if (const std::string moved = watch_.moved(); !moved.empty()) {
    return fmt::format(
        "parameter \"{}\" was converted or moved (to(), set_data) after it was wrapped, which "
        "takes away the hooks that average its gradients: wrap the module after that",
        moved);
  }
  if (step_ != Step::kNone) {
    if (const std::string changed = watch_.changed(); !changed.empty()) {
      return fmt::format(
          "parameter \"{}\" was updated after backward and before finish: its gradient was not "
          "averaged over the ranks, which hold different weights now; call finish before the "
          "optimizer's step",
          changed);
    }
  }
  for (const NamedTensor& parameter : active_) {
    const at::Tensor& grad = parameter.tensor.grad();
    if (!grad.defined() || grad.sizes() == parameter.tensor.sizes()) continue;
    return fmt::format("`.grad` of parameter \"{}\" is {}, but the parameter is {}", parameter.name,
                       describe(grad), describe(parameter.tensor));
  }
  if (samples == 0 || active_.empty() || parts_.unused == Unused::kAllow) return {};
  bool any = false, any_handed_out = false;
  for (std::size_t i = 0; i < active_.size(); ++i) {
    const bool handed_out = step_ == Step::kNone && watch_.is_left_over(i);
    any_handed_out = any_handed_out || handed_out;
    any = any || (active_[i].tensor.grad().defined() && !handed_out);
  }
  if (any) return {};
  if (last_was_automatic_ && step_ == Step::kNone) {
    return "finish was called after a step that the end of its backward has finished already "
           "(forward announced it): leave finish away";
  }
  if (any_handed_out) {
    return "finish was called twice: no backward came since the last step";
  }
  return fmt::format(
      "finish({}) without a gradient: no backward has reached an active parameter in this step; a "
      "rank without samples calls finish(0) or skip()",
      samples);
}

double WeightedSteps::weight() {
  // No samples on any rank: an error that all of them throw together.
  const auto total = static_cast<double>(header_.wait().total);
  if (total <= 0 || *samples_ == 0) return 0;
  const bool by_forward = parts_.options.loss_mean == LossMean::kForward;
  return (by_forward ? 1.0 : static_cast<double>(*samples_)) / total;
}

void WeightedSteps::apply_weight(const std::vector<at::Tensor>& gradients) {
  const double factor = weight();
  if (factor == 1 || gradients.empty()) return;
  const c10::AutoGradMode no_grad(false);
  if (factor == 0) {
    at::_foreach_zero_(gradients);  // a mean over no samples is no number, and 0 times it neither
  } else {
    at::_foreach_mul_(gradients, factor);
  }
}

void WeightedSteps::weigh_the_rest() {
  std::vector<at::Tensor> gradients;
  for (std::size_t i = 0; i < active_.size(); ++i) {
    const at::Tensor& grad = active_[i].tensor.grad();
    if (!weighted_[i] && grad.defined()) gradients.push_back(grad);
    weighted_[i] = true;
  }
  apply_weight(gradients);
}

std::int64_t WeightedSteps::complete() {
  struct Over {
    WeightedSteps& steps;
    ~Over() { steps.close(); }
  } over{*this};
  parts_.places.reduction_begun();
  StepShares shares;
  try {
    for (const NamedTensor& parameter : active_) {
      at::Tensor& grad = parameter.tensor.mutable_grad();
      if (grad.defined() && grad.layout() != at::kStrided) grad = grad.to_dense();
    }
    shares = header_.wait();
    if (shares.automatic == 0) put_by_.clear();  // a step that finish ends starts from none
    if (parts_.rules.fault.empty()) parts_.rules.fault = uneven_start(shares);
    const bool strict = shares.automatic > 0 && !parts_.unused;
    parts_.rules.refuse_unused = strict || parts_.unused == Unused::kError;
    if (parts_.totals.size() == 1) {
      end_alone();
    } else {
      reducer_->finish();
    }
    if (shares.total == 0) {
      RunError error("finish: no rank had any samples in this step");
      error.mark_agreed();
      throw error;
    }
  } catch (const std::exception&) {
    drop_gradients(active_);
    throw;
  }
  const c10::AutoGradMode no_grad(false);
  for (std::size_t i = 0; i < put_by_.size(); ++i) {
    if (!put_by_[i].defined()) continue;
    at::Tensor& grad = active_[i].tensor.mutable_grad();
    if (grad.defined()) {
      grad.add_(put_by_[i]);
    } else {
      grad = put_by_[i];
    }
  }
  watch_.remember_gradients();
  last_was_automatic_ = step_ == Step::kAutomatic;
  some_had_joined_ = some_had_joined_ || shares.joined > 0;
  last_active_rank_ = shares.first_active;
  if (parts_.share_buffers) parts_.share_buffers(shares.first_active);
  parts_.places.step_finished();
  return shares.total;
}

/// What a reducer of several ranks does.
void WeightedSteps::end_alone() {
  weigh_the_rest();
  if (!parts_.rules.fault.empty()) {
    ReductionMismatch mismatch(parts_.rules.fault);
    mismatch.mark_agreed();
    throw mismatch;
  }
  reducer_->finish();
  if (!parts_.rules.refuse_unused) return;
  std::vector<double> flags;
  for (const NamedTensor& parameter : active_) {
    flags.push_back(parameter.tensor.grad().defined() ? 1 : 0);
  }
  flags.push_back(*samples_ > 0 ? 1 : 0);
  refuse_unused(flags, active_, "ranks");
}

}  // namespace thaw
