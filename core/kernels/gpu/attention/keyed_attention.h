#pragma once

#include <ATen/core/Tensor.h>

#include <memory>
#include <optional>

#include "core/kernels/gpu/attention/flash_attention.h"
#include "core/kernels/random/draw_scope.h"

namespace thaw::gpu {

// Note [Heads of any size]
// The kernels of Note [Attention on tensor cores] are for heads of 32, 64 and 128 elements, as many
// of keys as of queries. Others up to 128 are brought to that: zeros behind a head's elements add
// nothing to its products, and what they become is cut off again; the scale is that of the real
// size. Key heads that several query heads share are repeated, and their gradients summed up. That
// is a copy of the projections, in place of one padded to the longest sample and its scores.

/// Whether the kernels of keyed attention serve `projected` [T, shape.columns()] so: bfloat16 on a
/// GPU, heads up to 128, no window that hides something from one of `rows`.
bool serves_keyed(const at::Tensor& projected, const FlashKind& kind, const SampleRows& rows);

/// Attention over packed samples as flash_attention has it, whose draws are keyed (Note [Keyed
/// draws]). Only where `serves_keyed`.
at::Tensor keyed_attention(const at::Tensor& projected, const at::Tensor& bias,
                           const FlashKind& kind, std::shared_ptr<const SampleRows> rows,
                           const std::optional<DropoutDraws>& draws);

}  // namespace thaw::gpu
