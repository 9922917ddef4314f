#include "dist/data_parallel/step_hooks.h"

#include <torch/csrc/autograd/function.h>
#include <torch/csrc/autograd/function_hook.h>
#include <torch/csrc/autograd/variable.h>

#include <algorithm>
#include <utility>

#include "dist/data_parallel/left_backward.h"

namespace thaw {

namespace {

// A hook of the node, not of the tensor (`Tensor::register_hook`): the tensor's also runs under
// `torch::autograd::grad`, which accumulates nothing.
class BeforeHook final : public WatchingHook {
 public:
  BeforeHook(std::size_t index, StepHooks::Before callback, StepHooks::Left left)
      : index_(index), callback_(std::move(callback)), left_(std::move(left)) {}

  torch::autograd::variable_list operator()(const torch::autograd::variable_list& grads) override {
    torch::autograd::variable_list changed = grads;
    callback_(index_, changed.front());
    return changed;
  }
  void left(std::uint64_t backward) noexcept override { left_(backward); }

 private:
  std::size_t index_;
  StepHooks::Before callback_;
  StepHooks::Left left_;
};

}  // namespace

StepHooks::StepHooks(std::span<const NamedTensor> parameters, const Before& before,
                     const Callback& after, const Left& left)
    : after_(parameters, after) {
  before_.reserve(parameters.size());
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    auto accumulator = torch::autograd::impl::grad_accumulator(parameters[i].tensor);
    auto hook = std::make_unique<BeforeHook>(i, before, left);
    const torch::autograd::FunctionPreHook* const key = hook.get();
    accumulator->add_pre_hook(std::move(hook));
    before_.push_back({std::move(accumulator), key});
  }
}

StepHooks::~StepHooks() {
  for (const Hook& hook : before_) {
    auto& all = hook.accumulator->pre_hooks();
    const auto ours = std::find_if(all.begin(), all.end(),
                                   [&](const auto& other) { return other.get() == hook.key; });
    if (ours != all.end()) all.erase(ours);
  }
}

}  // namespace thaw
