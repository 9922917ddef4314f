#pragma once

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>

#include <cstdint>

#include "core/models/layers/cast_cache.h"
#include "core/models/layers/derived_weights.h"

namespace thaw::nn {

/// How many zeros surround a convolution's input.
enum class ConvolutionPadding {
  kHalf,  ///< half the kernel on each side: keeps the size but for the stride
  kNone,
  kSame,  ///< TensorFlow's: so many that the output has size / stride pixels, rounded up, for any
          ///< size; where they are odd, the one more is at the right and below
};

struct ConvolutionOptions {
  ConvolutionPadding padding = ConvolutionPadding::kHalf;
  std::int64_t groups = 1;
  bool has_bias = false;
};

/// A square convolution. Computes in its input's type, whatever the weight's. Weights are 0 at
/// first.
class Convolution : public torch::nn::Module, public KeepsDerivedWeights {
 public:
  Convolution(std::int64_t in, std::int64_t out, std::int64_t kernel, std::int64_t stride,
              const ConvolutionOptions& options = {});

  at::Tensor forward(const at::Tensor& input);
  void weights_changed() override;

  at::Tensor weight, bias;  ///< bias: undefined without one

 private:
  std::int64_t stride_;
  ConvolutionOptions options_;
  CastCache cast_, bias_cast_;
};

}  // namespace thaw::nn
