#include "core/kernels/rows/row_index.h"

#include <algorithm>
#include <limits>
#include <numeric>
#include <stdexcept>

namespace thaw {
namespace {

void index_words(std::span<const std::int64_t> words, RowIndex& index) {
  index.tokens_by_word.resize(words.size());
  std::iota(index.tokens_by_word.begin(), index.tokens_by_word.end(), 0);
  std::ranges::stable_sort(index.tokens_by_word, {}, [&](std::int32_t token) {
    return words[static_cast<std::size_t>(token)];
  });
  for (std::size_t i = 0; i < words.size(); ++i) {
    const std::int64_t word = words[static_cast<std::size_t>(index.tokens_by_word[i])];
    if (index.words.empty() || index.words.back() != word) {
      index.words.push_back(word);
      index.word_firsts.push_back(static_cast<std::int32_t>(i));
    }
  }
  index.word_firsts.push_back(static_cast<std::int32_t>(words.size()));
}

}  // namespace

RowIndex row_index(std::span<const std::int64_t> offsets, std::span<const std::int64_t> words) {
  RowIndex index;
  if (offsets.empty()) return index;
  if (offsets.back() > std::numeric_limits<std::int32_t>::max()) {
    throw std::length_error("row_index: more tokens in one micro-batch than 2^31");
  }
  index.offsets.assign(offsets.begin(), offsets.end());
  const auto tokens = static_cast<std::size_t>(offsets.back());
  index.owners.reserve(tokens);
  index.places.reserve(tokens);
  for (std::size_t n = 0; n + 1 < offsets.size(); ++n) {
    const std::int64_t length = offsets[n + 1] - offsets[n];
    index.longest = std::max(index.longest, length);
    index.owners.insert(index.owners.end(), static_cast<std::size_t>(length),
                        static_cast<std::int32_t>(n));
    for (std::int32_t place = 0; place < length; ++place) index.places.push_back(place);
  }
  if (!words.empty()) index_words(words, index);
  return index;
}

}  // namespace thaw
