#include "core/step/optimizer.h"

#include <ATen/ops/_foreach_add.h>
#include <ATen/ops/_foreach_mul.h>
#include <ATen/ops/full.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <c10/core/GradMode.h>
#include <c10/core/StreamGuard.h>

#include <cstring>
#include <exception>
#include <utility>

#include "core/base/system.h"
#include "core/config/configuration.h"
#include "core/config/optimizers.h"
#include "core/parallel/slices.h"
#include "core/parallel/training_stream.h"
#include "core/step/device/device_rates.h"
#include "core/step/gradient_norm.h"

namespace thaw {
namespace {

ParameterState new_state(const at::Tensor& parameter, std::size_t slots, bool on_host = false) {
  ParameterState state{at::zeros({}, parameter.options().dtype(at::kFloat)), {}};
  const at::Device place = on_host ? at::Device(at::kCPU) : parameter.device();
  while (state.slots.size() < slots) {
    state.slots.push_back(at::zeros_like(parameter, at::TensorOptions(place)));
  }
  return state;
}

/// Large zeros come from the system as pages that are not there yet; writing brings them. Not by
/// `zero_`, which would start a team of threads beside the one that trains.
void touch(const ParameterState& state) {
  for (const at::Tensor& tensor : state.slots) {
    if (tensor.is_cpu()) std::memset(tensor.mutable_data_ptr(), 0, tensor.nbytes());
  }
}

/// Of as many as there is memory for now. What goes wrong is forgotten: at the transition there may
/// be room, or else it does the same again and tells.
Optimizer::States touched_states(
    const std::vector<std::pair<std::string, at::Tensor>>& without_state, std::size_t slots) {
  const c10::AutoGradMode no_grad(false);
  Optimizer::States states;
  try {
    for (const auto& [name, parameter] : without_state) {
      touch(states.emplace(name, new_state(parameter, slots)).first->second);
    }
  } catch (const std::exception&) {
    // What is there is whole.
  }
  return states;
}

/// Of the classes, for kernels that read them on a GPU; null where none does.
std::unique_ptr<DeviceRates> make_device_rates(const std::vector<OptimizerClass>& classes) {
  if (classes.empty() || classes.front().parameters.empty()) return nullptr;
  const at::Tensor& first = classes.front().parameters.front();
  if (!first.is_cuda() || first.scalar_type() == at::kDouble) return nullptr;
  return std::make_unique<DeviceRates>(classes.size(), first.device());
}

}  // namespace

Optimizer::Optimizer(std::vector<std::string> slots, bool kernel_scales)
    : slots_(std::move(slots)), kernel_scales_(kernel_scales) {}
Optimizer::~Optimizer() = default;

void Optimizer::prepare(const std::vector<std::string>& names,
                        const std::vector<at::Tensor>& parameters) {
  std::vector<std::pair<std::string, at::Tensor>> without_state;
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (!states_.contains(names[i])) without_state.emplace_back(names[i], parameters[i]);
  }
  prepared_ = std::async(std::launch::async, [slots = slots_.size(), stream = stream_of(parameters),
                                              without_state = std::move(without_state)] {
    lower_priority_of_this_thread();
    const c10::OptionalStreamGuard guard(stream);
    return touched_states(without_state, slots);
  });
}

void Optimizer::wait_prepared() const {
  if (prepared_.valid()) prepared_.wait();
}

void Optimizer::make_states(const std::vector<std::string>& names,
                            const std::vector<at::Tensor>& parameters,
                            const std::vector<Cuts>& cuts, bool on_host) {
  const c10::AutoGradMode no_grad(false);
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (states_.contains(names[i])) continue;
    const auto made =
        states_.emplace(names[i], new_state(parameters[i], slots_.size(), on_host)).first;
    if (!cuts.empty()) made->second.cuts = cuts[i];
  }
}

void Optimizer::enter_stage(std::vector<OptimizerClass> classes, const TrainOptions& options) {
  classes_ = std::move(classes);
  read(with_own_defaults(options));
  const c10::AutoGradMode no_grad(false);
  device_rates_ = kernel_scales_ ? make_device_rates(classes_) : nullptr;
  States prepared;
  if (prepared_.valid()) prepared = prepared_.get();
  for (const OptimizerClass& group : classes_) {
    for (std::size_t i = 0; i < group.names.size(); ++i) {
      if (states_.contains(group.names[i])) continue;
      auto ready = prepared.extract(group.names[i]);
      if (!ready.empty() && group.cuts.empty()) {  // what was prepared is whole
        states_.insert(std::move(ready));
      } else {
        const std::vector<Cuts> cuts(group.cuts.empty() ? 0 : 1,
                                     group.cuts.empty() ? Cuts() : group.cuts[i]);
        make_states({group.names[i]}, {group.parameters[i]}, cuts);
      }
    }
  }
}

Optimizer::Update Optimizer::with_gradients(const OptimizerClass& group,
                                            std::vector<at::Tensor>& idle) const {
  Update lists;
  lists.weight_decay = group.weight_decay;
  lists.slots.resize(slots_.size());
  for (std::size_t i = 0; i < group.names.size(); ++i) {
    const at::Tensor& parameter = group.parameters[i];
    if (!parameter.grad().defined()) {
      continue;
    }
    const ParameterState& state = states_.at(group.names[i]);
    if (!state.cuts.empty() && parameter.numel() == 0) {
      idle.push_back(state.step);
      continue;
    }
    lists.parameters.push_back(parameter);
    lists.gradients.push_back(parameter.grad());
    lists.steps.push_back(state.step);
    for (std::size_t slot = 0; slot < slots_.size(); ++slot) {
      lists.slots[slot].push_back(state.slots[slot]);
    }
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

/// Multiplies gradients by `factor`, or leaves that to the kernel, by what is returned.
std::optional<at::Tensor> Optimizer::scale(const std::vector<at::Tensor>& gradients,
                                           double factor) const {
  if (factor == 1.0) return std::nullopt;
  const at::Tensor& like = gradients.front();
  // Kernels take their scale as float32, too coarse for proofs in float64.
  if (kernel_scales_ && like.scalar_type() != at::kDouble) {
    return at::full({}, 1.0 / factor, like.options().dtype(at::kFloat));
  }
  at::_foreach_mul_(gradients, factor);
  return std::nullopt;
}

/// The same with a factor on a GPU; undefined: 1.
void Optimizer::scale_on_device(Update& now, const at::Tensor& factor) const {
  if (!factor.defined()) return;
  if (now.gradients.front().scalar_type() == at::kDouble) {
    at::_foreach_mul_(now.gradients, factor);
  } else {
    now.gradient_scale = factor.reciprocal().to(at::kFloat);
  }
}

/// LibTorch's fused kernels do not count their writes, by which what is kept of weights, and
/// autograd, know that these have changed.
void Optimizer::update_counted(Update& now) {
  update(now);
  for (const at::Tensor& parameter : now.parameters) {
    parameter.unsafeGetTensorImpl()->bump_version();
  }
}

void Optimizer::set_rate(Update& now, std::size_t index, const std::vector<double>& rates) const {
  now.learning_rate = rates.at(index);
  if (device_rates_) now.device_rate = device_rates_->of(index);
}

void Optimizer::set_rates(const std::vector<double>& rates) {
  if (device_rates_) device_rates_->set(rates);
}

void Optimizer::count_writes() {
  for (const OptimizerClass& group : classes_) {
    for (const at::Tensor& parameter : group.parameters) {
      parameter.unsafeGetTensorImpl()->bump_version();
    }
  }
}

void Optimizer::step(const std::vector<double>& rates, double gradient_factor) {
  const c10::AutoGradMode no_grad(false);
  set_rates(rates);
  for (std::size_t i = 0; i < classes_.size(); ++i) {
    std::vector<at::Tensor> idle;
    Update now = with_gradients(classes_[i], idle);
    if (!idle.empty()) at::_foreach_add_(idle, 1);
    if (now.parameters.empty()) {
      continue;
    }
    set_rate(now, i, rates);
    now.gradient_scale = scale(now.gradients, gradient_factor);
    at::_foreach_add_(now.steps, 1);
    update_counted(now);
  }
}

void Optimizer::step(const std::vector<double>& rates, const DeviceScale& scale) {
  const c10::AutoGradMode no_grad(false);
  set_rates(rates);
  const at::Tensor counted = 1 - scale.not_finite;
  for (std::size_t i = 0; i < classes_.size(); ++i) {
    std::vector<at::Tensor> idle;
    Update now = with_gradients(classes_[i], idle);
    for (const at::Tensor& step : idle) step.add_(counted);
    if (now.parameters.empty()) continue;
    set_rate(now, i, rates);
    now.not_finite = scale.not_finite;
    scale_on_device(now, scale.factor);
    // Of a step that does not count the kernel reads no counts.
    at::_foreach_add_(now.steps, counted);
    update_counted(now);
  }
}

}  // namespace thaw
