#pragma once

#include <torch/csrc/autograd/function_hook.h>

#include <cstdint>

namespace thaw {

/// A hook of a node that also hears of backwards which an exception left before they came to it.
class WatchingHook : public torch::autograd::FunctionPreHook {
 public:
  /// A backward would have come to this node, but an exception leaves it; also called where it had
  /// come here already. `backward`: its number (see `started_backwards`). On the thread that called
  /// `backward()`, before that throws. Throws nothing.
  virtual void left(std::uint64_t backward) noexcept = 0;
};

/// Makes this process tell WatchingHooks, from now on. See Note [Backwards that never came].
void watch_backwards();

/// How many backwards were started in this process since `watch_backwards`: also the number of the
/// last one.
std::uint64_t started_backwards();

}  // namespace thaw
