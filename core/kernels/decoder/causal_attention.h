#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <optional>

#include "core/kernels/decoder/attention_shape.h"
#include "core/kernels/random/draw_scope.h"

namespace thaw {

/// Causal self-attention over packed samples: each token attends to itself and to those before it
/// in its own sample (the last `shape.window` ones, itself among them, where that is not 0). There
/// is no padding anywhere. An encoder's sees behind each token too: `shape.ahead` tokens, so that
/// its windows lie around each token.
///
/// `projected` [T, shape.columns()]: queries, keys and values side by side, biases added and heads
/// rotated already. Returns [T, heads * size] in the same dtype. Probabilities are
/// softmax(scale * q k), with dropout by `draws` if there are any: the draw of query q and key k is
/// that of packed_attention (Note [Keyed draws]). `rows` must have offsets, from 0 to T.
///
/// On the host, what is hidden from a block of queries is not multiplied, and backward recomputes
/// probabilities from their normalisation: memory grows with T, not with its square. Results do not
/// depend on the number of threads. On a GPU, flash attention where it serves (Note [Flash
/// attention]), in bfloat16 else the own kernels (Note [Heads of any size]); what is left, plain
/// operators over padded samples.
at::Tensor causal_attention(const at::Tensor& projected, const AttentionShape& shape,
                            std::shared_ptr<const SampleRows> rows,
                            const std::optional<DropoutDraws>& draws);

}  // namespace thaw
