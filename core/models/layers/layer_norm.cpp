#include "core/models/layers/layer_norm.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/layer_norm.h>

namespace thaw::nn {

LayerNorm::LayerNorm(std::int64_t width, double norm_epsilon, bool has_bias)
    : weight(register_parameter("weight", at::empty({width}))),
      bias(register_parameter("bias", has_bias ? at::empty({width}) : at::Tensor(), has_bias)),
      epsilon(norm_epsilon) {}

at::Tensor LayerNorm::forward(const at::Tensor& input) const {
  return at::layer_norm(input, {input.size(-1)}, weight, bias, epsilon);
}

}  // namespace thaw::nn
