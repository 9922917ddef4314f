#pragma once

#include <cstddef>
#include <set>
#include <string>

namespace torch::nn {
class Module;
}

namespace thaw {

class ParameterTable;
struct TrainOptions;

/// How the layers of frozen groups behave.
struct FrozenLayers {
  bool dropout = false;                ///< their dropout stays on
  bool batch_norm_statistics = false;  ///< their running statistics keep moving
};

/// As `[train]` says, or a stage in its place.
FrozenLayers frozen_layers_of(const TrainOptions& train);

/// Makes a module's parameters trainable or not, group by group (through `set_trainable`), and
/// switches its layers between training and evaluation mode.
///
/// A layer that holds parameters itself is in training mode if one of them is active; any other
/// module (dropout, a container) if one below it, or else below its nearest enclosing module that
/// has some, is active.
class Freezer {
 public:
  Freezer(torch::nn::Module& module, const ParameterTable& parameters, FrozenLayers frozen);

  /// Freezes everything but the parameters named. Gradients of what is frozen are dropped, so that
  /// no optimizer can use a stale one.
  void apply(const std::set<std::string>& active);
  /// The same, with frozen layers behaving like this from now on.
  void apply(const std::set<std::string>& active, FrozenLayers frozen);

  /// All layers in evaluation mode for as long as an instance lives; parameters stay as they are.
  class EvaluationMode {
   public:
    explicit EvaluationMode(Freezer& freezer);
    ~EvaluationMode();
    EvaluationMode(const EvaluationMode&) = delete;
    EvaluationMode& operator=(const EvaluationMode&) = delete;

   private:
    Freezer& freezer_;
  };

 private:
  void set_training_modes();

  torch::nn::Module& module_;
  const ParameterTable& parameters_;
  FrozenLayers frozen_;
  std::set<std::string> active_;
};

}  // namespace thaw
