#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/ScalarType.h>

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace thaw {

/// How the outputs of a network's first groups lie in memory, row after row: what belongs to a
/// sample, and what a row is. A plain value.
struct ActivationLayout {
  bool by_token = false;             ///< a row is a token of a text; else `rows` belong to a sample
  std::int64_t rows = 1;             ///< of each sample, where rows are not tokens
  std::vector<std::int64_t> shape;   ///< of one row: [width]; of images [C, H, W]
  at::ScalarType type = at::kFloat;  ///< of an element
  bool channels_last = false;        ///< [C, H, W] lies in memory as [H, W, C]

  std::int64_t row_bytes() const;
  /// For so many rows, to be filled: [rows, shape...], on the host.
  at::Tensor memory(std::int64_t row_count) const;
  /// Of a row as it lies in memory.
  std::vector<std::int64_t> stored_shape() const;
  /// "tokens x 384 float32", "samples x 64 x 8 x 8 float32, channels last".
  std::string describe() const;

  friend bool operator==(const ActivationLayout&, const ActivationLayout&) = default;
};

/// The layout of `hidden`, which belongs to `samples` samples of `tokens` tokens in all (-1: these
/// are no texts). Nothing where its first dimension follows neither.
std::optional<ActivationLayout> layout_of(const at::Tensor& hidden, std::int64_t samples,
                                          std::int64_t tokens);

/// The first row of each sample and the end, [N + 1]. `token_offsets`: of texts, the first token of
/// each sample and the end; else empty.
std::vector<std::int64_t> row_offsets(const ActivationLayout& layout, std::int64_t samples,
                                      std::span<const std::int64_t> token_offsets);

/// `hidden` on the host as the layout has it, without gaps.
at::Tensor laid_out(const at::Tensor& hidden, const ActivationLayout& layout);

}  // namespace thaw
