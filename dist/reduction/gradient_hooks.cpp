#include "dist/reduction/gradient_hooks.h"

#include <torch/csrc/autograd/function.h>
#include <torch/csrc/autograd/function_hook.h>
#include <torch/csrc/autograd/variable.h>

namespace thaw {

namespace {

// Note [Where hooks live]
// A leaf's gradient is accumulated by a node that the leaf holds weakly: without a shared_ptr kept
// here the node would die with the graph, and the hook with it, silently. The node outlives
// freezing and thawing, so a hook that is not removed would fire in later stages. The tensor's own
// post-accumulate hook has a single slot, which is the user's; `add_post_hook` on the node takes
// any number.
class AccumulatedHook final : public torch::autograd::FunctionPostHook {
 public:
  AccumulatedHook(std::size_t index, std::function<void(std::size_t)> callback)
      : index_(index), callback_(std::move(callback)) {}

  torch::autograd::variable_list operator()(const torch::autograd::variable_list& outputs,
                                            const torch::autograd::variable_list&) override {
    callback_(index_);
    return outputs;
  }

 private:
  std::size_t index_;
  std::function<void(std::size_t)> callback_;
};

}  // namespace

GradientHooks::GradientHooks(std::span<const NamedTensor> parameters,
                             const std::function<void(std::size_t)>& callback) {
  hooks_.reserve(parameters.size());
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    auto accumulator = torch::autograd::impl::grad_accumulator(parameters[i].tensor);
    const std::uintptr_t key =
        accumulator->add_post_hook(std::make_unique<AccumulatedHook>(i, callback));
    hooks_.push_back({std::move(accumulator), key});
  }
}

GradientHooks::~GradientHooks() {
  for (const Hook& hook : hooks_) hook.accumulator->del_post_hook(hook.key);
}

}  // namespace thaw
