#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace thaw {

/// The predictions that a language model's loss counts, in the order of the tokens, as plain
/// numbers.
struct CountedRows {
  std::vector<std::int64_t> rows;     ///< [C], the row of the hidden state that predicts
  std::vector<std::int64_t> targets;  ///< [C], the token that it should
  std::vector<std::int64_t> owners;   ///< [C], which sample of the micro-batch holds both
  std::vector<std::int64_t> slots;    ///< [C], the row's place among [n, longest] padded ones
};

/// As next_token_loss says which count: of `words` [T] in samples that begin at `offsets` [n + 1],
/// whose prompts are of so many words. Throws std::out_of_range for a prompt outside of its sample.
CountedRows counted_rows(std::span<const std::int64_t> words, std::span<const std::int64_t> prompts,
                         std::span<const std::int64_t> offsets);

}  // namespace thaw
