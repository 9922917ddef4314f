#include "core/models/efficientnet/inverted_residual.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/relu6.h>

namespace thaw::nn {
namespace {

std::shared_ptr<Convolution> same_convolution(std::int64_t in, std::int64_t out,
                                              std::int64_t kernel, std::int64_t stride,
                                              std::int64_t groups) {
  return std::make_shared<Convolution>(
      in, out, kernel, stride,
      ConvolutionOptions{.padding = ConvolutionPadding::kSame, .groups = groups});
}

}  // namespace

std::shared_ptr<BatchNorm2d> efficientnet_norm(std::int64_t channels) {
  return std::make_shared<BatchNorm2d>(channels, /*epsilon=*/1e-3, /*momentum=*/0.01);
}

InvertedResidual::InvertedResidual(const InvertedResidualShape& shape, double drop)
    : adds_input_(shape.stride == 1 && shape.in == shape.out) {
  const std::int64_t wide = shape.in * shape.expansion;
  if (shape.expansion != 1) {
    expand_ = register_module("_expand_conv", same_convolution(shape.in, wide, 1, 1, 1));
    expand_norm_ = register_module("_bn0", efficientnet_norm(wide));
  }
  depthwise_ = register_module("_depthwise_conv",
                               same_convolution(wide, wide, shape.kernel, shape.stride, wide));
  depthwise_norm_ = register_module("_bn1", efficientnet_norm(wide));
  project_ = register_module("_project_conv", same_convolution(wide, shape.out, 1, 1, 1));
  project_norm_ = register_module("_bn2", efficientnet_norm(shape.out));
  path_ = register_module("drop_path", std::make_shared<StochasticDepth>(drop));
}

// BatchNorm keeps its input for backward, not its output, and relu6 its output: so that is
// overwritten.
at::Tensor InvertedResidual::forward(const at::Tensor& input) {
  at::Tensor x = input;
  if (expand_) {
    x = expand_norm_->forward(expand_->forward(x));
    at::relu6_(x);
  }
  x = depthwise_norm_->forward(depthwise_->forward(x));
  x = project_norm_->forward(project_->forward(at::relu6_(x)));
  return adds_input_ ? input + path_->forward(x, input.size(0)) : x;
}

}  // namespace thaw::nn
