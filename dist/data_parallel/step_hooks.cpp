#include "dist/data_parallel/step_hooks.h"

#include <torch/csrc/autograd/function.h>
#include <torch/csrc/autograd/function_hook.h>
#include <torch/csrc/autograd/variable.h>

#include <algorithm>
#include <cstdint>
#include <utility>

namespace thaw {

namespace {

// A hook of the node, not of the tensor (`Tensor::register_hook`): the tensor's also runs under
// `torch::autograd::grad`, which accumulates nothing.
class BeforeHook final : public torch::autograd::FunctionPreHook {
 public:
  BeforeHook(std::size_t index, StepHooks::Callback callback)
      : index_(index), callback_(std::move(callback)) {}

  torch::autograd::variable_list operator()(const torch::autograd::variable_list& grads) override {
    callback_(index_);
    return grads;
  }

 private:
  std::size_t index_;
  StepHooks::Callback callback_;
};

class AfterHook final : public torch::autograd::FunctionPostHook {
 public:
  AfterHook(std::size_t index, StepHooks::Callback callback)
      : index_(index), callback_(std::move(callback)) {}

  torch::autograd::variable_list operator()(const torch::autograd::variable_list& outputs,
                                            const torch::autograd::variable_list&) override {
    callback_(index_);
    return outputs;
  }

 private:
  std::size_t index_;
  StepHooks::Callback callback_;
};

}  // namespace

StepHooks::StepHooks(std::span<const NamedParameter> parameters, const Callback& before,
                     const Callback& after) {
  hooks_.reserve(parameters.size());
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    auto accumulator = torch::autograd::impl::grad_accumulator(parameters[i].tensor);
    auto before_hook = std::make_unique<BeforeHook>(i, before);
    const torch::autograd::FunctionPreHook* const key = before_hook.get();
    accumulator->add_pre_hook(std::move(before_hook));
    const std::uintptr_t after_key =
        accumulator->add_post_hook(std::make_unique<AfterHook>(i, after));
    hooks_.push_back({std::move(accumulator), key, after_key});
  }
}

StepHooks::~StepHooks() {
  for (const Hook& hook : hooks_) {
    auto& before = hook.accumulator->pre_hooks();
    const auto ours = std::find_if(before.begin(), before.end(),
                                   [&](const auto& other) { return other.get() == hook.before; });
    if (ours != before.end()) before.erase(ours);
    hook.accumulator->del_post_hook(hook.after);
  }
}

}  // namespace thaw
