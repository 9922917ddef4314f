#pragma once

#include <ATen/core/Tensor.h>

#include <memory>

#include "core/kernels/decoder/attention_shape.h"
#include "core/kernels/random/draw_scope.h"

namespace thaw {

/// Cosines and sines of the angles by which pairs of elements are rotated, [positions, size / 2]
/// each, in float32 or float64. A scale of attention that belongs to the positions (YaRN's) is part
/// of both.
struct RotaryTable {
  at::Tensor cosines, sines;
};

/// Rotary position embedding (Su et al., "RoFormer", 2021): element i of each query and key head is
/// rotated with element i + size / 2, the layout of Hugging Face's models, by the angles of the
/// token's place in its own sample. Values stay as they are.
///
/// `projected` [T, shape.columns()], as causal_attention takes it; its memory is taken over: nobody
/// may read it afterwards. With `q_weight` and `k_weight` [size], in float32 or better, each query
/// and key head is divided by its root mean square (plus `epsilon` under the root) and multiplied
/// with them first, as Qwen 3 does; both undefined: no norm. `rows` must have offsets, from 0 to T.
///
/// Throws c10::Error for a sample that is longer than the table.
at::Tensor rotate_heads(at::Tensor projected, const AttentionShape& shape, const RotaryTable& table,
                        const at::Tensor& q_weight, const at::Tensor& k_weight, double epsilon,
                        std::shared_ptr<const SampleRows> rows);

}  // namespace thaw
