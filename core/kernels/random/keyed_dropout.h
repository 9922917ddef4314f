#pragma once

#include <ATen/core/Tensor.h>

#include "core/kernels/random/draw_scope.h"

namespace thaw {

/// `input` with elements dropped and the rest scaled, as Note [Keyed draws] says. Differentiable;
/// backward draws again. float32, float64 or bfloat16, on the host or a CUDA device.
///
/// Rows, the first dimension, are the samples of `draws` or, packed, their tokens. Throws
/// c10::Error if their number is neither.
at::Tensor keyed_dropout(const at::Tensor& input, const DropoutDraws& draws);

/// The same for attention's probabilities padded to [n, heads, L, L]: the draw of head h, query q
/// and key k is that of row h and index q * length + k, `length` being the sample's own in `draws`,
/// so that it does not depend on L. Elements outside a sample's length become 0.
at::Tensor keyed_attention_dropout(const at::Tensor& probabilities, const DropoutDraws& draws);

}  // namespace thaw
