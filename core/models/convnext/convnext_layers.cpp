#include "core/models/convnext/convnext_layers.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>

#include "core/kernels/activation.h"

namespace thaw::nn {

at::Tensor over_channels(const LayerNorm& norm, const at::Tensor& images) {
  return norm.forward(images.permute({0, 2, 3, 1})).permute({0, 3, 1, 2});
}

ConvNextDownsampling::ConvNextDownsampling(std::int64_t in, std::int64_t out)
    : norm_(register_module("0", std::make_shared<LayerNorm>(in, kConvNextEpsilon))),
      convolution_(register_module(
          "1", std::make_shared<Convolution>(
                   in, out, /*kernel=*/2, /*stride=*/2,
                   ConvolutionOptions{.padding = ConvolutionPadding::kNone, .has_bias = true}))) {}

at::Tensor ConvNextDownsampling::forward(const at::Tensor& input, at::ScalarType compute) {
  return convolution_->forward(over_channels(*norm_, input).to(compute)).to(input.scalar_type());
}

ConvNextBlock::ConvNextBlock(const ConvNextConfig& config, std::int64_t width, double drop)
    : activation_(config.activation) {
  if (config.layer_scale > 0) {
    layer_scale = register_parameter("layer_scale_parameter", at::empty({width}));
  }
  depthwise_ = register_module(
      "dwconv",
      std::make_shared<Convolution>(width, width, /*kernel=*/7, /*stride=*/1,
                                    ConvolutionOptions{.groups = width, .has_bias = true}));
  norm_ = register_module("layernorm", std::make_shared<LayerNorm>(width, kConvNextEpsilon));
  wide_ = register_module("pwconv1", std::make_shared<Dense>(width, 4 * width));
  narrow_ = register_module("pwconv2", std::make_shared<Dense>(4 * width, width));
  path_ = register_module("drop_path", std::make_shared<StochasticDepth>(drop));
}

at::Tensor ConvNextBlock::forward(const at::Tensor& input, at::ScalarType compute) {
  const at::ScalarType type = input.scalar_type();
  const at::Tensor pixels =
      depthwise_->forward(input.to(compute)).to(type).permute({0, 2, 3, 1}).contiguous();
  const at::Tensor rows = norm_->forward(pixels).view({-1, pixels.size(3)});
  const at::Tensor inner = bias_activation(wide_->project(rows, compute), wide_->bias, activation_);
  at::Tensor out = narrow_->project(inner, compute).to(type) + narrow_->bias;
  if (layer_scale.defined()) out = out * layer_scale;
  out = path_->forward(out, input.size(0)).view(pixels.sizes()).permute({0, 3, 1, 2});
  return input + out;
}

void ConvNextBlock::list_weights(std::vector<LayerWeights>& list) {
  for (Dense* dense : {wide_.get(), narrow_.get()}) dense->list_weights(list);
}

}  // namespace thaw::nn
