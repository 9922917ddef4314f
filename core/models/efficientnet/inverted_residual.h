#pragma once

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>

#include <cstdint>
#include <memory>

#include "core/models/layers/batch_norm.h"
#include "core/models/layers/convolution.h"
#include "core/models/layers/stochastic_depth.h"

namespace thaw::nn {

/// As EfficientNets have it, after TensorFlow's: momentum 0.99 there is 0.01 here.
std::shared_ptr<BatchNorm2d> efficientnet_norm(std::int64_t channels);

/// What tells one block from another.
struct InvertedResidualShape {
  std::int64_t in = 0, out = 0;  ///< channels
  std::int64_t kernel = 3, stride = 1;
  std::int64_t expansion = 6;  ///< channels between for each that comes in
};

/// MobileNetV2's block (Sandler et al. 2018) as EfficientNet-Lite has it, without squeeze and
/// excitation: 1x1 to more channels, a depthwise convolution, 1x1 to few; ReLU6 after the first
/// two. The input is added where the shape stays.
class InvertedResidual : public torch::nn::Module {
 public:
  /// `drop`: the probability that stochastic depth drops the block for a sample in training.
  InvertedResidual(const InvertedResidualShape& shape, double drop);
  at::Tensor forward(const at::Tensor& input);

 private:
  bool adds_input_;
  std::shared_ptr<Convolution> expand_, depthwise_, project_;  ///< expand_: null without expansion
  std::shared_ptr<BatchNorm2d> expand_norm_, depthwise_norm_, project_norm_;
  std::shared_ptr<StochasticDepth> path_;
};

}  // namespace thaw::nn
