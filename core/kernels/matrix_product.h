#pragma once

#include <ATen/core/Tensor.h>

namespace thaw {

// Note [Matrix products]
// LibTorch multiplies float32 matrices with MKL. Its oneDNN multiplies x [rows, in] with a matrix
// that lies [in, out] in memory faster than MKL does in any layout: 101 to 106 GFLOP/s against 88
// to 93 on one Zen 4 core, with 384 and 1536 for in and out. The gradient of an input has such a
// matrix at hand, the weight [out, in] itself; forward gets one by a transposed copy, which is kept
// while the weight is frozen, and costs a fiftieth of the product at 1,024 rows otherwise.
// Gradients of weights stay with MKL, which is the faster one there, and so does bfloat16, where
// LibTorch takes oneDNN itself. The operator is the one that torch.compile emits
// (mkldnn::_linear_pointwise); where LibTorch was built without it, at::mm serves.

/// Whether `product_with_columns` has something faster than at::mm for [rows, in] of this kind, the
/// cost of copying a weight included (`kept`: the copy is there already).
bool prefers_columns(const at::Tensor& input, bool kept);

/// The transpose of the weights stacked, in memory: [out_i, in] each gives [in, sum of out_i].
/// float32 on the host.
at::Tensor stacked_columns(at::TensorList weights);

/// left [m, k] times right [k, n], without autograd. For operands as the note says.
at::Tensor product_with_columns(const at::Tensor& left, const at::Tensor& right);

}  // namespace thaw
