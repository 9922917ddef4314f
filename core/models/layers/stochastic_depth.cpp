#include "core/models/layers/stochastic_depth.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/ones.h>

namespace thaw::nn {

at::Tensor StochasticDepth::forward(const at::Tensor& branch, std::int64_t samples) {
  if (!is_training() || probability() == 0 || samples == 0) return branch;
  const at::Tensor kept = Dropout::forward(at::ones({samples, 1}, branch.options()));
  return (branch.reshape({samples, -1}) * kept).view(branch.sizes());
}

}  // namespace thaw::nn
