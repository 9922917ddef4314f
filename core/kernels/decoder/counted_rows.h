#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "core/kernels/random/draw_scope.h"

namespace thaw {

/// The predictions that a language model's loss counts, in the order of the tokens.
struct CountedRows {
  std::vector<std::int64_t> rows;     ///< [C], the row of the hidden state that predicts
  std::vector<std::int64_t> targets;  ///< [C], the token that it should
  std::vector<std::int64_t> firsts;   ///< [n + 1], which of these are each sample's

  std::int64_t size() const { return static_cast<std::int64_t>(rows.size()); }
  std::int64_t samples() const { return static_cast<std::int64_t>(firsts.size()) - 1; }
};

/// As next_token_loss says which count. `tokens` int64 [T], `prompt_lengths` int64 [n], on any
/// device. Throws c10::Error for a prompt outside of its sample or a token outside of `vocabulary`.
CountedRows counted_rows(const at::Tensor& tokens, const at::Tensor& prompt_lengths,
                         const SampleRows& rows, std::int64_t vocabulary);

/// `values` as int64 on `device`.
at::Tensor as_indices(const std::vector<std::int64_t>& values, const at::Device& device);

}  // namespace thaw
