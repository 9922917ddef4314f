#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace thaw {

/// What kernels ask of packed rows, as plain numbers. Rows are tokens of samples, one sample after
/// another; all vectors are computed from the samples' offsets and the words of the tokens.
struct RowIndex {
  std::int64_t longest = 0;           ///< tokens of the longest sample
  std::vector<std::int32_t> offsets;  ///< [n + 1], first token of each sample
  std::vector<std::int32_t> owners;   ///< [T], which sample of the micro-batch holds the token
  std::vector<std::int32_t> places;   ///< [T], the token's place in its sample

  // Where the words are known: how a table's gradient is added up without atomics, in the order
  // of the tokens, so that its bits repeat themselves.
  std::vector<std::int64_t> words;           ///< [W], the different words, rising
  std::vector<std::int32_t> word_firsts;     ///< [W + 1], where each begins in `tokens_by_word`
  std::vector<std::int32_t> tokens_by_word;  ///< [T], tokens by word, those of one in their order
};

/// `offsets`: [n + 1] from 0 on, not falling; empty where a row is a sample: then all is empty.
/// `words`: of each token, none negative; empty where nobody asks. Throws std::length_error for
/// more tokens than an int32 counts.
RowIndex row_index(std::span<const std::int64_t> offsets, std::span<const std::int64_t> words);

}  // namespace thaw
