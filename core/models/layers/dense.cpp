#include "core/models/layers/dense.h"

#include <ATen/ops/empty.h>

namespace thaw::nn {

Dense::Dense(std::int64_t in, std::int64_t out, bool has_bias)
    : weight(register_parameter("weight", at::empty({out, in}))),
      bias(register_parameter("bias", has_bias ? at::empty({out}) : at::Tensor(), has_bias)) {}

at::Tensor Dense::project(const at::Tensor& input, at::ScalarType compute) {
  return thaw::project(input, weight, prepared_, compute);
}

at::Tensor Dense::forward(const at::Tensor& input, at::ScalarType compute) {
  at::Tensor product = project(input, compute);
  return bias.defined() ? product.add_(bias.to(compute)) : product;
}

}  // namespace thaw::nn
