#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace torch::nn {
class Module;
}

namespace thaw {

class ParameterTable;

/// How the layers of frozen groups behave.
struct FrozenLayers {
  bool dropout = false;               ///< dropout of frozen layers stays on
  bool batch_norm_statistics = false; ///< running statistics of frozen layers keep moving
};

/// Makes a module's parameters trainable or not, group by group: the only code that writes
/// `requires_grad`, and that switches layers between training and evaluation mode.
///
/// A layer is in training mode if it holds an active parameter; one without parameters (dropout)
/// follows the nearest enclosing module that has some.
class Freezer {
 public:
  Freezer(torch::nn::Module& module, const ParameterTable& parameters, FrozenLayers frozen);

  /// Freezes everything but the given groups (indexes into the table's groups). Gradients of what
  /// is frozen are dropped, so that no optimizer can use a stale one.
  void apply(const std::vector<std::size_t>& active_groups);

  /// All layers to evaluation mode, parameters as they are; `restore` undoes it.
  void evaluation_mode();
  void restore();

 private:
  void set_modes();

  torch::nn::Module& module_;
  const ParameterTable& parameters_;
  FrozenLayers frozen_;
};

}  // namespace thaw
