#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

namespace thaw {

/// The weights of one layer as its matrix products want them.
struct StackedWeights {
  at::Tensor rows;     ///< [sum of out_i, in]; undefined if `columns` is there and nobody asked
  at::Tensor columns;  ///< [in, sum of out_i], where that is faster (Note [Matrix products])
};

/// Frozen weights as products want them, so that no forward prepares them again: stacked where they
/// are several, converted, transposed.
///
/// One instance belongs to the weights of one layer. Not thread-safe.
class PreparedWeights {
 public:
  /// `weights` for a product with `input`, in the input's dtype; what was prepared for the last one
  /// where all are frozen and unchanged (a write in place, or another storage, is noticed).
  /// `rows_too`: backward will need the rows.
  StackedWeights get(at::TensorList weights, const at::Tensor& input, bool rows_too);

  /// The rows of one weight alone, [out, in] in `type`, contiguous; likewise.
  at::Tensor rows(const at::Tensor& weight, at::ScalarType type);

  void clear();

 private:
  struct Source {
    at::Tensor weight;
    const void* data;
    std::int64_t version;
  };
  /// Forgets what was prepared unless it is of these weights; remembers them.
  void keep_only(at::TensorList weights);

  std::vector<Source> sources_;
  StackedWeights kept_;
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
