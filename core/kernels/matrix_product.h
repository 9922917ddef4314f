#pragma once

#include <ATen/core/Tensor.h>

namespace thaw {

// Note [Matrix products]
// LibTorch multiplies float32 matrices with MKL, and oneDNN, which comes with it, is the faster one
// from some hundred rows on: 77 to 82 GFLOP/s against 64 to 77 on one core with AVX2, for 1,024
// rows and SmolLM2's layers, whichever way the weight lies; 101 to 106 against 88 to 93 on one Zen
// 4 core. So a weight is multiplied as it lies, [out, in], forward and for the gradient of its
// input, and nobody keeps a transposed copy of one. For few rows (a token that is written, a small
// batch) oneDNN's preparing the weight costs more than it gains. Gradients of weights stay with
// MKL, and so does bfloat16, where LibTorch takes oneDNN itself. The operator is the one that
// torch.compile emits (mkldnn::_linear_pointwise); where LibTorch was built without it, at::mm
// serves.

/// Whether `onednn_product` is faster than at::mm for `left` [m, k] of this kind.
bool prefers_onednn(const at::Tensor& left);

/// left [m, k] times right [k, n], without autograd, for a `left` that prefers it. `right` may be a
/// transposed view.
at::Tensor onednn_product(const at::Tensor& left, const at::Tensor& right);

/// left [m, k] times right [k, n], without autograd, by whichever is faster.
at::Tensor matrix_product(const at::Tensor& left, const at::Tensor& right);

/// The transpose of `matrix` [rows, columns], in memory. float32 on the host.
at::Tensor transposed_copy(const at::Tensor& matrix);

/// left [m, k] times right [k, n], without autograd, in the type of the two; in `type` where a GPU
/// gives float32 of bfloat16 factors, so that its sums are not rounded and no pass converts them.
at::Tensor product_in(at::ScalarType type, const at::Tensor& left, const at::Tensor& right);

}  // namespace thaw
