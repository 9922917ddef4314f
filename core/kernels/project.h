#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

namespace thaw {

/// Frozen weights as the matrix product wants them, so that no forward prepares them again: stacked
/// where they are several, and in the dtype that the product runs in.
///
/// One instance belongs to the weights of one layer. Not thread-safe.
class PreparedWeights {
 public:
  /// `weights`, stacked, in `type`; from the last call where they were frozen and are unchanged
  /// (a write in place, or another storage, is noticed). Trainable weights are prepared anew.
  at::Tensor get(at::TensorList weights, at::ScalarType type);

  void clear() {
    sources_.clear();
    prepared_.reset();
  }

 private:
  struct Source {
    at::Tensor weight;
    const void* data;
    std::int64_t version;
  };
  bool current(at::TensorList weights, at::ScalarType type) const;

  std::vector<Source> sources_;
  at::Tensor prepared_;
};

/// input times the transposes of `weights`, side by side: [rows, in] times [out_i, in] gives
/// [rows, sum of out_i]. No bias: the function that reads the result adds it (Note [Fused
/// kernels]).
///
/// Runs, and returns, in `type`, whatever the input and the weights are in; their gradients are in
/// their own. Backward computes products for those inputs only that need a gradient; a frozen layer
/// that a gradient passes through costs one.
at::Tensor project(const at::Tensor& input, at::TensorList weights, PreparedWeights& prepared,
                   at::ScalarType type);

/// Matrix products for gradients of weights that `project` has computed so far, over all threads:
/// tests count them.
std::int64_t weight_gradient_products();

}  // namespace thaw
