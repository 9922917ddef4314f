#pragma once

#include <ATen/core/Tensor.h>

#include <memory>

#include "core/kernels/random/draw_scope.h"

namespace thaw {

/// words[tokens[t]] + positions[place of t in its sample] + types[token_types[t]], [T, width]: what
/// a BERT encoder starts from.
///
/// `tokens` and `token_types` int64 [T], on the device of the tables; `token_types` may be
/// undefined: all 0. `rows` must have offsets, from 0 to T. Ids and
/// lengths must fit the tables: the caller checks them. Backward gives dense gradients; the word
/// `padding` (-1: none) gets none, as with torch.nn.Embedding's padding_idx.
at::Tensor embed(const at::Tensor& tokens, const at::Tensor& token_types, const at::Tensor& words,
                 const at::Tensor& positions, const at::Tensor& types,
                 std::shared_ptr<const SampleRows> rows, std::int64_t padding);

}  // namespace thaw
