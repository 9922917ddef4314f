#include "core/step/optimizer.h"

#include <ATen/ops/_foreach_add.h>
#include <ATen/ops/_foreach_mul.h>
#include <ATen/ops/_fused_adamw.h>
#include <ATen/ops/_fused_sgd.h>
#include <ATen/ops/full.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <c10/core/GradMode.h>

#include <cstring>
#include <utility>

#include "core/base/background.h"

namespace thaw {
namespace {

ParameterState new_adamw_state(const at::Tensor& parameter) {
  return {at::zeros({}, parameter.options().dtype(at::kFloat)), at::zeros_like(parameter),
          at::zeros_like(parameter)};
}

ParameterState new_sgd_state(const at::Tensor& parameter) {
  return {at::zeros({}, parameter.options().dtype(at::kFloat)), at::zeros_like(parameter), {}};
}

class FusedAdamW final : public Optimizer {
 public:
  FusedAdamW() : Optimizer(new_adamw_state) {}

 private:
  void update(const OptimizerClass& group, Lists& lists, double learning_rate,
              const std::optional<at::Tensor>& gradient_scale) override {
    // The kernel divides by 1 - beta^step and does not advance the counts itself: with a count of
    // zero it would turn parameters into NaN.
    at::_foreach_add_(lists.steps, 1);
    at::_fused_adamw_(lists.parameters, lists.gradients, lists.first, lists.second, {}, lists.steps,
                      learning_rate, settings_.beta1, settings_.beta2, group.weight_decay,
                      settings_.epsilon, /*amsgrad=*/false,
                      /*maximize=*/false, gradient_scale);
  }
};

class FusedSgd final : public Optimizer {
 public:
  FusedSgd() : Optimizer(new_sgd_state) {}

 private:
  void update(const OptimizerClass& group, Lists& lists, double learning_rate,
              const std::optional<at::Tensor>& gradient_scale) override {
    at::_foreach_add_(lists.steps, 1);
    // A momentum that starts at zero, without dampening, gives the gradient itself in the first
    // step: no parameter needs the kernel's special first step, whenever it thaws.
    // Without momentum the kernel insists on having no buffers.
    const at::TensorList buffers =
        settings_.momentum != 0 ? at::TensorList(lists.first) : at::TensorList();
    at::_fused_sgd_(lists.parameters, lists.gradients, buffers, group.weight_decay,
                    settings_.momentum, learning_rate, /*dampening=*/0.0, settings_.nesterov,
                    /*maximize=*/false, /*is_first_step=*/false, gradient_scale);
  }
};

/// Large zeros come from the system as pages that are not there yet; writing brings them. Not by
/// `zero_`, which would start a team of threads beside the one that trains.
void touch(const ParameterState& state) {
  for (const at::Tensor& tensor : {state.first, state.second}) {
    if (tensor.defined() && tensor.is_cpu()) {
      std::memset(tensor.mutable_data_ptr(), 0, tensor.nbytes());
    }
  }
}

}  // namespace

void Optimizer::prepare(const std::vector<std::string>& names,
                        const std::vector<at::Tensor>& parameters) {
  std::vector<std::pair<std::string, at::Tensor>> without_state;
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (!states_.contains(names[i])) without_state.emplace_back(names[i], parameters[i]);
  }
  prepared_ = std::async(std::launch::async,
                         [new_state = new_state_, without_state = std::move(without_state)] {
                           lower_priority_of_this_thread();
                           const c10::AutoGradMode no_grad(false);
                           States states;
                           for (const auto& [name, parameter] : without_state) {
                             touch(states.emplace(name, new_state(parameter)).first->second);
                           }
                           return states;
                         });
}

void Optimizer::make_states(const std::vector<std::string>& names,
                            const std::vector<at::Tensor>& parameters) {
  const c10::AutoGradMode no_grad(false);
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (!states_.contains(names[i])) states_.emplace(names[i], new_state_(parameters[i]));
  }
}

void Optimizer::enter_stage(std::vector<OptimizerClass> classes, OptimizerSettings settings) {
  classes_ = std::move(classes);
  settings_ = settings;
  const c10::AutoGradMode no_grad(false);
  States prepared;
  if (prepared_.valid()) prepared = prepared_.get();
  for (const OptimizerClass& group : classes_) {
    for (std::size_t i = 0; i < group.names.size(); ++i) {
      if (states_.contains(group.names[i])) continue;
      auto ready = prepared.extract(group.names[i]);
      if (!ready.empty()) {
        states_.insert(std::move(ready));
      } else {
        states_.emplace(group.names[i], new_state_(group.parameters[i]));
      }
    }
  }
}

Optimizer::Lists Optimizer::lists_with_gradients(const OptimizerClass& group) const {
  Lists lists;
  for (std::size_t i = 0; i < group.names.size(); ++i) {
    const at::Tensor& parameter = group.parameters[i];
    if (!parameter.grad().defined()) {
      continue;
    }
    const ParameterState& state = states_.at(group.names[i]);
    lists.parameters.push_back(parameter);
    lists.gradients.push_back(parameter.grad());
    lists.first.push_back(state.first);
    lists.second.push_back(state.second);
    lists.steps.push_back(state.step);
  }
  return lists;
}

void Optimizer::forget_unless(const std::function<bool(const std::string&)>& stays) {
  std::erase_if(states_, [&](const auto& state) { return !stays(state.first); });
}

void Optimizer::step(double rate_factor, double gradient_factor) {
  std::vector<double> rates;
  for (const OptimizerClass& group : classes_) {
    rates.push_back(group.learning_rate * rate_factor);
  }
  step(rates, gradient_factor);
}

void Optimizer::step(const std::vector<double>& rates, double gradient_factor) {
  const c10::AutoGradMode no_grad(false);
  for (std::size_t i = 0; i < classes_.size(); ++i) {
    const OptimizerClass& group = classes_[i];
    Lists lists = lists_with_gradients(group);
    if (lists.parameters.empty()) {
      continue;
    }
    std::optional<at::Tensor> scale;
    if (gradient_factor != 1.0) {
      const at::Tensor& like = lists.parameters.front();
      if (like.scalar_type() == at::kDouble) {
        // The kernel takes its scale as float32, too coarse for proofs in float64.
        at::_foreach_mul_(lists.gradients, gradient_factor);
      } else {
        scale = at::full({}, 1.0 / gradient_factor, like.options().dtype(at::kFloat));
      }
    }
    update(group, lists, rates.at(i), scale);
  }
}

std::unique_ptr<Optimizer> make_optimizer(OptimizerKind kind) {
  if (kind == OptimizerKind::kSgd) return std::make_unique<FusedSgd>();
  return std::make_unique<FusedAdamW>();
}

}  // namespace thaw
