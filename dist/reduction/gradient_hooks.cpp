#include "dist/reduction/gradient_hooks.h"

#include <torch/csrc/autograd/function.h>
#include <torch/csrc/autograd/function_hook.h>
#include <torch/csrc/autograd/input_metadata.h>
#include <torch/csrc/autograd/variable.h>

#include <memory>

namespace thaw {

namespace {

// Note [Where hooks live]
// A leaf's gradient is accumulated by a node that the leaf holds weakly: without a shared_ptr kept
// here the node would die with the graph, and the hook with it, silently. The node outlives
// freezing and thawing, so a hook that is not removed would fire in later stages. The tensor's own
// post-accumulate hook has a single slot, which is the user's; `add_post_hook` on the node takes
// any number.

// Note [Streams of leaves]
// Autograd runs a node on the stream that was current when the node was made, and makes streams
// wait for each other where two nodes differ. The node of a leaf is made once and kept here; so a
// step that is recorded, on a stream of its own, would leave that stream for the one of the first
// step, which cannot be recorded. What the node knows of its stream is made anew.

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
    hooks_.push_back({parameters[i].tensor, std::move(accumulator), key});
  }
}

void GradientHooks::follow_stream() {
  using torch::autograd::InputMetadata;
  for (const Hook& hook : hooks_) {
    InputMetadata& known = hook.accumulator->mutable_input_metadata(0);
    std::destroy_at(&known);  // it has parts that cannot be assigned
    std::construct_at(&known, hook.parameter);
  }
}

GradientHooks::~GradientHooks() {
  for (const Hook& hook : hooks_) hook.accumulator->del_post_hook(hook.key);
}

}  // namespace thaw
