#pragma once

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>

#include <cstdint>
#include <memory>

#include "core/models/layers/batch_norm.h"
#include "core/models/layers/convolution.h"

namespace thaw::nn {

/// How a residual block brings its input to the shape of its output, where the two differ.
enum class Shortcut {
  kProjection,  ///< a 1x1 convolution and a BatchNorm: torchvision's `downsample`
  kZeroPadded,  ///< every second pixel, new channels zero: option A of He et al. 2016
};

/// A residual block of a ResNet: relu(f(x) + shortcut(x)).
class ResidualBlock : public torch::nn::Module {
 public:
  at::Tensor forward(const at::Tensor& input);

 protected:
  ResidualBlock(std::int64_t in, std::int64_t out, std::int64_t stride)
      : in_(in), out_(out), stride_(stride) {}

  /// Registers what the shortcut needs; after the residual branch, for torchvision's order.
  void add_shortcut(Shortcut kind);
  virtual at::Tensor residual(const at::Tensor& input) = 0;

 private:
  at::Tensor shortcut(const at::Tensor& input);

  std::int64_t in_, out_, stride_;
  std::shared_ptr<Convolution> projection_;
  std::shared_ptr<BatchNorm2d> projection_norm_;
};

/// Two 3x3 convolutions.
class BasicBlock : public ResidualBlock {
 public:
  static constexpr std::int64_t kExpansion = 1;
  BasicBlock(std::int64_t in, std::int64_t width, std::int64_t stride, Shortcut shortcut);

 protected:
  at::Tensor residual(const at::Tensor& input) override;

 private:
  std::shared_ptr<Convolution> conv1_, conv2_;
  std::shared_ptr<BatchNorm2d> bn1_, bn2_;
};

/// 1x1, 3x3 with the stride, 1x1 to four times the width.
class BottleneckBlock : public ResidualBlock {
 public:
  static constexpr std::int64_t kExpansion = 4;
  BottleneckBlock(std::int64_t in, std::int64_t width, std::int64_t stride, Shortcut shortcut);

 protected:
  at::Tensor residual(const at::Tensor& input) override;

 private:
  std::shared_ptr<Convolution> conv1_, conv2_, conv3_;
  std::shared_ptr<BatchNorm2d> bn1_, bn2_, bn3_;
};

}  // namespace thaw::nn
