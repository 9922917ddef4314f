#pragma once

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>

#include <cstdint>
#include <vector>

#include "core/kernels/project.h"
#include "core/models/layers/derived_weights.h"

namespace thaw::nn {

/// A weight [out, in] and a bias [out].
class Dense : public torch::nn::Module, public KeepsDerivedWeights {
 public:
  /// Uninitialised. Without a bias, `bias` is undefined.
  Dense(std::int64_t in, std::int64_t out, bool has_bias = true);

  /// input times the weight's transpose, in `compute`; without the bias.
  at::Tensor project(const at::Tensor& input, at::ScalarType compute);
  /// The same with the bias, if it has one, in `compute` too.
  at::Tensor forward(const at::Tensor& input, at::ScalarType compute);
  void weights_changed() override { prepared_.clear(); }
  /// Adds what products multiply by.
  void list_weights(std::vector<LayerWeights>& list) { list.push_back({prepared_, {weight}}); }

  at::Tensor weight, bias;

 private:
  PreparedWeights prepared_;
};

}  // namespace thaw::nn
