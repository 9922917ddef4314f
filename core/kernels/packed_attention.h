#pragma once

#include <ATen/core/Tensor.h>

#include <array>
#include <cstdint>
#include <memory>
#include <optional>

#include "core/kernels/random/draw_scope.h"

namespace thaw {

/// Multi-head self-attention (Vaswani et al. 2017) over packed samples: each token attends to all
/// tokens of its own sample, and there is no padding anywhere.
///
/// `projected` [T, 3 * heads * d]: queries, keys and values side by side, each head after head, and
/// still without `biases` (three of [heads * d]). Returns [T, heads * d] in the same dtype.
/// Probabilities are softmax(q k / sqrt(d)), with dropout by `draws` if there are any; backward
/// recomputes them from their normalisation, so memory grows with T, not with its square.
/// `rows` must have offsets, from 0 to T.
at::Tensor packed_attention(const at::Tensor& projected, const std::array<at::Tensor, 3>& biases,
                            std::int64_t heads, std::shared_ptr<const SampleRows> rows,
                            const std::optional<DropoutDraws>& draws);

}  // namespace thaw
