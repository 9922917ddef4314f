#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "core/parallel/stage_coordinator.h"
#include "dist/reduction/gradient_hooks.h"

namespace torch::autograd {
struct Node;
struct FunctionPreHook;
}  // namespace torch::autograd

namespace thaw {

/// Calls back just before and just after autograd puts a parameter's gradient of one backward into
/// its `.grad`.
///
/// Hooks run in the order in which they were added: those of an instance made before the reducer's
/// see `.grad` first. Both callbacks get the parameter's index (the first one also the gradient
/// that is to be added to `.grad`) and run on autograd's thread for its device (CPU: the thread
/// that called backward). Hooks end with the instance; not while a backward runs. See Note [Where
/// hooks live] in dist/reduction/gradient_hooks.cpp.
class StepHooks {
 public:
  using Callback = std::function<void(std::size_t)>;
  /// May replace the gradient, which is undefined where none of the parameter's uses counts.
  using Before = std::function<void(std::size_t, at::Tensor&)>;

  /// Gets the number of a backward that would have come to a parameter (see WatchingHook in
  /// dist/data_parallel/left_backward.h). Throws none.
  using Left = std::function<void(std::uint64_t)>;

  StepHooks(std::span<const NamedTensor> parameters, const Before& before, const Callback& after,
            const Left& left);
  ~StepHooks();
  StepHooks(const StepHooks&) = delete;
  StepHooks& operator=(const StepHooks&) = delete;

 private:
  struct Hook {
    std::shared_ptr<torch::autograd::Node> accumulator;
    const torch::autograd::FunctionPreHook* key = nullptr;
  };
  GradientHooks after_;
  std::vector<Hook> before_;
};

}  // namespace thaw
