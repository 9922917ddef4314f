#pragma once

namespace thaw {

/// A layer that keeps something which it made of its frozen weights, so that no forward makes it
/// again: in the type of the products, transposed, several side by side. `Model::weights_changed`
/// finds all such layers below a model; a module derives from this beside torch::nn::Module.
class KeepsDerivedWeights {
 public:
  virtual ~KeepsDerivedWeights() = default;

  /// Drops it: weights were loaded or moved, or a stage began. Called between forwards, on the
  /// thread that runs them.
  virtual void weights_changed() = 0;
};

}  // namespace thaw
