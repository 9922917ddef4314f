#pragma once

#include <cstdint>

namespace thaw {

/// Logits of some consecutive words of the vocabulary for a chunk of rows, transposed: [words,
/// rows], so that a lane is a row and nothing is summed across lanes. E: an element of the logits,
/// T: what rows are computed in. `rows` is a multiple of 16.
template <typename E, typename T>
struct LogitRows {
  E* logits = nullptr;
  std::int64_t words = 0, rows = 0;
  std::int64_t first_word = 0;

  // Of each row, over the words so far; forward.
  T* highest = nullptr;
  T* total = nullptr;  ///< sum of exp(logit - highest)
  T* best = nullptr;   ///< the first word with the highest logit

  // Of each row, for gradients.
  const T* log_sums = nullptr;  ///< log of the sum of exp(logit)
  const T* factors = nullptr;   ///< gradient of the row's loss
};

}  // namespace thaw
