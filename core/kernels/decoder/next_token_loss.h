#pragma once

#include <ATen/core/Tensor.h>

#include <memory>

#include "core/kernels/project.h"
#include "core/kernels/random/draw_scope.h"

namespace thaw {

/// What a language model's head is told: the product with the vocabulary's matrix, and the
/// cross-entropy of its softmax, for packed samples.
///
/// `hidden` [T, width], after the final norm; `weight` [V, width]; `tokens` int64 [T];
/// `prompt_lengths` int64 [n], each from 0 to its sample's length. Of a sample of L tokens with a
/// prompt of p, those from max(p, 1) to L - 1 count, each predicted from the hidden state of the
/// token before it. `rows` must have offsets, from 0 to T. The product runs in `type`. Where a
/// batch brought along which rows count (DeviceRows), that is taken, and nothing here makes the
/// host wait for a GPU but a backward of samples with factors of their own (Note [One factor]).
///
/// Returns [n, 2] in float32 (float64 where `type` is): the sum over a sample's counted tokens of
/// -log p, in nats, and how many of them are the most likely token (the first of several). The
/// second has no gradient. Both are 0 where nothing counts. Throws c10::Error for a prompt or a
/// token out of range.
///
/// Logits never stand whole: see Note [Loss by chunks] in next_token_loss.cpp.
at::Tensor next_token_loss(const at::Tensor& hidden, const at::Tensor& weight,
                           PreparedWeights& prepared, at::ScalarType type, const at::Tensor& tokens,
                           const at::Tensor& prompt_lengths,
                           std::shared_ptr<const SampleRows> rows);

}  // namespace thaw
