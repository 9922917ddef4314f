#pragma once

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>

#include <cstdint>

namespace thaw::nn {

/// The parameters of a LayerNorm (Ba et al. 2016), of width [width].
class LayerNorm : public torch::nn::Module {
 public:
  /// Uninitialised. Without a bias, `bias` is undefined.
  LayerNorm(std::int64_t width, double epsilon, bool has_bias = true);

  /// Over the last dimension, for where nothing is fused with it (core/kernels/add_norm.h): the
  /// input, of the parameters' type, stays as it is.
  at::Tensor forward(const at::Tensor& input) const;

  at::Tensor weight, bias;
  double epsilon;
};

}  // namespace thaw::nn
