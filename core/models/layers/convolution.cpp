#include "core/models/layers/convolution.h"

#include <ATen/ops/constant_pad_nd.h>
#include <ATen/ops/conv2d.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <array>

namespace thaw::nn {
namespace {

/// Zeros that an input of `size` pixels gets on both sides together under kSame.
std::int64_t same_padding(std::int64_t size, std::int64_t kernel, std::int64_t stride) {
  const std::int64_t outputs = (size + stride - 1) / stride;
  return std::max<std::int64_t>((outputs - 1) * stride + kernel - size, 0);
}

}  // namespace

Convolution::Convolution(std::int64_t in, std::int64_t out, std::int64_t kernel,
                         std::int64_t stride, const ConvolutionOptions& options)
    : weight(register_parameter("weight", at::zeros({out, in / options.groups, kernel, kernel}))),
      bias(register_parameter("bias", options.has_bias ? at::zeros({out}) : at::Tensor(),
                              options.has_bias)),
      stride_(stride),
      options_(options) {}

at::Tensor Convolution::forward(const at::Tensor& input) {
  const std::int64_t kernel = weight.size(2);
  at::Tensor padded = input;
  std::array<std::int64_t, 2> zeros = {0, 0};  // at the top and at the bottom, left and right
  if (options_.padding == ConvolutionPadding::kHalf) {
    zeros = {kernel / 2, kernel / 2};
  } else if (options_.padding == ConvolutionPadding::kSame) {
    const std::int64_t rows = same_padding(input.size(2), kernel, stride_);
    const std::int64_t columns = same_padding(input.size(3), kernel, stride_);
    zeros = {rows / 2, columns / 2};
    if (rows % 2 != 0 || columns % 2 != 0) {
      padded = at::constant_pad_nd(input,
                                   {columns / 2, columns - columns / 2, rows / 2, rows - rows / 2});
      zeros = {0, 0};
    }
  }
  const at::Tensor shift = bias.defined() ? bias_cast_.get(bias, input.scalar_type()) : bias;
  return at::conv2d(padded, cast_.get(weight, input.scalar_type()), shift, {stride_, stride_},
                    at::IntArrayRef(zeros), {1, 1}, options_.groups);
}

void Convolution::weights_changed() {
  cast_.clear();
  bias_cast_.clear();
}

}  // namespace thaw::nn
