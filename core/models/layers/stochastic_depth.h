#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "core/models/layers/dropout.h"

namespace thaw::nn {

/// Stochastic depth (Huang et al. 2016) as timm's `drop_path`, torchvision's and TensorFlow's
/// EfficientNets have it: a residual branch is dropped for a whole sample, and scaled where it is
/// kept, so that the expectation stays. Drawn as Note [Keyed draws] says, one element a sample.
class StochasticDepth : public Dropout {
 public:
  explicit StochasticDepth(double probability) : Dropout(probability) {}

  /// `branch`: rows of `samples` samples, as many each, one sample after another.
  at::Tensor forward(const at::Tensor& branch, std::int64_t samples);
};

}  // namespace thaw::nn
