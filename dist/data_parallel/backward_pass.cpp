#include "dist/data_parallel/backward_pass.h"

#include <torch/csrc/autograd/engine.h>
#include <torch/csrc/autograd/function.h>
#include <torch/csrc/autograd/function_hook.h>
#include <torch/csrc/autograd/graph_task.h>

#include <memory>
#include <utility>

#include "dist/data_parallel/left_backward.h"

namespace thaw {

namespace {

// Note [The end of a backward]
// The engine keeps callbacks for the end of each backward and runs them before `backward()`
// returns; it drops them unused where an exception leaves it. Whoever holds the last reference to
// a callback's state is told so by its destructor: that is how a rank learns that its step will
// not be completed, at once, and can say so to the others, which wait for it.
struct Ending {
  explicit Ending(std::function<void()> on_left) : left(std::move(on_left)) {}
  ~Ending() {
    if (left) left();
  }
  Ending(const Ending&) = delete;
  Ending& operator=(const Ending&) = delete;
  std::function<void()> left;
};

// Of the node that made the output, not of the tensor: it runs also where backward starts there.
class OutputHook final : public WatchingHook {
 public:
  OutputHook(std::function<void()> reached, std::function<void(std::uint64_t)> left)
      : reached_(std::move(reached)), left_(std::move(left)) {}
  torch::autograd::variable_list operator()(const torch::autograd::variable_list& grads) override {
    reached_();
    return grads;
  }
  void left(std::uint64_t backward) noexcept override { left_(backward); }

 private:
  std::function<void()> reached_;
  std::function<void(std::uint64_t)> left_;
};

}  // namespace

int current_backward() { return torch::autograd::get_current_graph_task_id(); }

bool backward_is_whole() {
  const auto* wanted = torch::autograd::get_current_graph_task_exec_info();
  return wanted != nullptr && wanted->empty();
}

void at_end_of_backward(std::function<void()> ended, std::function<void()> left) {
  auto ending = std::make_shared<Ending>(std::move(left));
  torch::autograd::Engine::get_default_engine().queue_callback(
      [ending = std::move(ending), ended = std::move(ended)] {
        ending->left = nullptr;
        ended();
      });
}

bool at_backward_of(const at::Tensor& output, std::function<void()> reached,
                    std::function<void(std::uint64_t)> left) {
  if (!output.defined() || !output.requires_grad() || output.is_leaf()) return false;
  output.grad_fn()->add_pre_hook(std::make_unique<OutputHook>(std::move(reached), std::move(left)));
  return true;
}

}  // namespace thaw
