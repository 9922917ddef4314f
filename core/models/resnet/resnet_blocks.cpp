#include "core/models/resnet/resnet_blocks.h"

#include <ATen/ops/constant_pad_nd.h>
#include <ATen/ops/relu.h>

namespace thaw::nn {

// BatchNorm keeps its input for backward, not its output, and relu its output: so relu and the sum
// may overwrite what they are given.
at::Tensor ResidualBlock::forward(const at::Tensor& input) {
  at::Tensor sum = residual(input);
  sum.add_(shortcut(input));
  return at::relu_(sum);
}

void ResidualBlock::add_shortcut(Shortcut kind) {
  if (kind == Shortcut::kProjection && (stride_ != 1 || in_ != out_)) {
    const auto downsample = register_module("downsample", std::make_shared<torch::nn::Module>());
    projection_ = downsample->register_module(
        "0", std::make_shared<Convolution>(in_, out_, /*kernel=*/1, stride_));
    projection_norm_ = downsample->register_module("1", std::make_shared<BatchNorm2d>(out_));
  }
}

at::Tensor ResidualBlock::shortcut(const at::Tensor& input) {
  if (projection_) {
    return projection_norm_->forward(projection_->forward(input));
  }
  if (stride_ == 1 && in_ == out_) {
    return input;
  }
  const at::Tensor pixels =
      input.slice(2, 0, std::nullopt, stride_).slice(3, 0, std::nullopt, stride_);
  const std::int64_t before = (out_ - in_) / 2;
  return at::constant_pad_nd(pixels, {0, 0, 0, 0, before, out_ - in_ - before});
}

BasicBlock::BasicBlock(std::int64_t in, std::int64_t width, std::int64_t stride, Shortcut shortcut)
    : ResidualBlock(in, width * kExpansion, stride) {
  conv1_ = register_module("conv1", std::make_shared<Convolution>(in, width, 3, stride));
  bn1_ = register_module("bn1", std::make_shared<BatchNorm2d>(width));
  conv2_ = register_module("conv2", std::make_shared<Convolution>(width, width, 3, 1));
  bn2_ = register_module("bn2", std::make_shared<BatchNorm2d>(width));
  add_shortcut(shortcut);
}

at::Tensor BasicBlock::residual(const at::Tensor& input) {
  at::Tensor x = bn1_->forward(conv1_->forward(input));
  x = conv2_->forward(at::relu_(x));
  return bn2_->forward(x);
}

BottleneckBlock::BottleneckBlock(std::int64_t in, std::int64_t width, std::int64_t stride,
                                 Shortcut shortcut)
    : ResidualBlock(in, width * kExpansion, stride) {
  conv1_ = register_module("conv1", std::make_shared<Convolution>(in, width, 1, 1));
  bn1_ = register_module("bn1", std::make_shared<BatchNorm2d>(width));
  conv2_ = register_module("conv2", std::make_shared<Convolution>(width, width, 3, stride));
  bn2_ = register_module("bn2", std::make_shared<BatchNorm2d>(width));
  conv3_ = register_module("conv3", std::make_shared<Convolution>(width, width * kExpansion, 1, 1));
  bn3_ = register_module("bn3", std::make_shared<BatchNorm2d>(width * kExpansion));
  add_shortcut(shortcut);
}

at::Tensor BottleneckBlock::residual(const at::Tensor& input) {
  at::Tensor x = bn1_->forward(conv1_->forward(input));
  x = bn2_->forward(conv2_->forward(at::relu_(x)));
  x = conv3_->forward(at::relu_(x));
  return bn3_->forward(x);
}

}  // namespace thaw::nn
