#pragma once

#include <ATen/core/Tensor.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "core/parallel/stage_coordinator.h"

namespace torch::autograd {
struct Node;
}

namespace thaw {

/// Calls back when autograd has put a parameter's gradient of one backward into its `.grad`, after
/// all uses of the parameter in the graph have been added up.
///
/// The callback gets the parameter's index, runs on autograd's thread for its device (CPU: the
/// thread that called backward), and is also called where the gradient turned out undefined. What
/// it throws leaves `backward()`. Hooks end with the instance; not while a backward runs.
/// See Note [Where hooks live] in gradient_hooks.cpp.
class GradientHooks {
 public:
  GradientHooks(std::span<const NamedTensor> parameters,
                const std::function<void(std::size_t)>& callback);
  ~GradientHooks();
  GradientHooks(const GradientHooks&) = delete;
  GradientHooks& operator=(const GradientHooks&) = delete;

  /// Has backward accumulate these gradients on the stream that is current now. Until then it does
  /// on the one that was when the parameter was first used. See Note [Streams of leaves].
  void follow_stream();

 private:
  struct Hook {
    at::Tensor parameter;
    std::shared_ptr<torch::autograd::Node> accumulator;
    std::uintptr_t key = 0;
  };
  std::vector<Hook> hooks_;
};

}  // namespace thaw
