#include "core/kernels/rows/counted_rows.h"

#include <algorithm>
#include <stdexcept>
#include <string>

namespace thaw {

CountedRows counted_rows(std::span<const std::int64_t> words, std::span<const std::int64_t> prompts,
                         std::span<const std::int64_t> offsets) {
  CountedRows result;
  std::int64_t longest = 0;
  for (std::size_t n = 0; n + 1 < offsets.size(); ++n) {
    longest = std::max(longest, offsets[n + 1] - offsets[n]);
  }
  for (std::size_t n = 0; n + 1 < offsets.size(); ++n) {
    const std::int64_t begin = offsets[n], end = offsets[n + 1],
                       owner = static_cast<std::int64_t>(n);
    if (prompts[n] < 0 || prompts[n] > end - begin) {
      throw std::out_of_range("a prompt of " + std::to_string(prompts[n]) +
                              " tokens in a sample of " + std::to_string(end - begin));
    }
    for (std::int64_t t = begin + std::max<std::int64_t>(prompts[n], 1); t < end; ++t) {
      result.rows.push_back(t - 1);
      result.targets.push_back(words[static_cast<std::size_t>(t)]);
      result.owners.push_back(owner);
      result.slots.push_back(owner * longest + t - 1 - begin);
    }
  }
  return result;
}

}  // namespace thaw
