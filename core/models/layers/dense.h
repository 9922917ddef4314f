#pragma once

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>

#include <cstdint>

#include "core/kernels/project.h"

namespace thaw::nn {

/// A weight [out, in] and a bias [out].
class Dense : public torch::nn::Module {
 public:
  /// Uninitialised. Without a bias, `bias` is undefined.
  Dense(std::int64_t in, std::int64_t out, bool has_bias = true);

  /// input times the weight's transpose, in `compute`; without the bias.
  at::Tensor project(const at::Tensor& input, at::ScalarType compute);

  at::Tensor weight, bias;
  PreparedWeights prepared;
};

}  // namespace thaw::nn
