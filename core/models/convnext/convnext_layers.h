#pragma once

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "core/models/convnext/convnext_config.h"
#include "core/models/layers/convolution.h"
#include "core/models/layers/dense.h"
#include "core/models/layers/layer_norm.h"
#include "core/models/layers/stochastic_depth.h"

namespace thaw::nn {

// The modules of a ConvNeXt under Hugging Face's names. Between them, images are [n, C, H, W],
// channels last in memory, in float32 (or float64); convolutions and products run in `compute`.

/// Of all LayerNorms but the last.
inline constexpr double kConvNextEpsilon = 1e-6;

/// Over the channels of each pixel; the result is channels last too.
at::Tensor over_channels(const LayerNorm& norm, const at::Tensor& images);

/// What lies between two stages: a LayerNorm, then a convolution that halves the image. Children
/// are named 0 and 1.
class ConvNextDownsampling : public torch::nn::Module {
 public:
  ConvNextDownsampling(std::int64_t in, std::int64_t out);
  at::Tensor forward(const at::Tensor& input, at::ScalarType compute);

 private:
  std::shared_ptr<LayerNorm> norm_;
  std::shared_ptr<Convolution> convolution_;
};

/// A depthwise 7x7 convolution, LayerNorm, and two linear layers a pixel with an activation
/// between; the input is added.
class ConvNextBlock : public torch::nn::Module {
 public:
  /// `drop`: the probability that stochastic depth drops the block for a sample in training.
  ConvNextBlock(const ConvNextConfig& config, std::int64_t width, double drop);
  at::Tensor forward(const at::Tensor& input, at::ScalarType compute);
  /// Adds those weights that products multiply by.
  void list_weights(std::vector<LayerWeights>& list);

  at::Tensor layer_scale;  ///< [width]; undefined without one

 private:
  Activation activation_;
  std::shared_ptr<Convolution> depthwise_;
  std::shared_ptr<LayerNorm> norm_;
  std::shared_ptr<Dense> wide_, narrow_;
  std::shared_ptr<StochasticDepth> path_;
};

}  // namespace thaw::nn
