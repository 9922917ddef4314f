#pragma once

#include <ATen/Parallel.h>

#include <algorithm>
#include <cstdint>
#include <vector>

#include "core/kernels/random/draw_scope.h"
#include "core/kernels/rows/device_rows.h"

namespace thaw {

/// Tokens of the longest sample; of rows on a GPU, those that kernels are launched for, which may
/// be more.
inline std::int64_t longest_sample(const SampleRows& rows) {
  if (rows.device != nullptr && !rows.offsets.empty()) return rows.device->longest;
  std::int64_t result = 0;
  for (std::size_t i = 0; i + 1 < rows.offsets.size(); ++i) {
    result = std::max(result, rows.offsets[i + 1] - rows.offsets[i]);
  }
  return result;
}

/// Shares the (sample, head) pairs out among threads: each gets consecutive ones, so that a
/// sample's rows stay in a core's cache, of about the same cost, which grows with the square of the
/// length. Calls `body(first, last)` with numbers of pairs, sample after sample.
template <typename Body>
void for_balanced_heads(const SampleRows& rows, std::int64_t heads, std::int64_t size,
                        const Body& body) {
  const std::size_t n = rows.offsets.size() - 1;
  std::vector<double> before(n + 1, 0.0);  // cost of the samples before each
  for (std::size_t i = 0; i < n; ++i) {
    const auto length = static_cast<double>(rows.offsets[i + 1] - rows.offsets[i]);
    before[i + 1] = before[i] + length * (length + static_cast<double>(size));
  }
  const std::int64_t pieces = at::get_num_threads();
  const auto border = [&](std::int64_t piece) {
    const double target = before[n] * static_cast<double>(piece) / static_cast<double>(pieces);
    const auto after = std::upper_bound(before.begin(), before.end(), target);
    if (after == before.end()) {
      return static_cast<std::int64_t>(n) * heads;
    }
    const auto sample = after - before.begin() - 1;
    const double cost = *after - before[static_cast<std::size_t>(sample)];
    const double part = (target - before[static_cast<std::size_t>(sample)]) / cost;
    return sample * heads + static_cast<std::int64_t>(part * static_cast<double>(heads));
  };
  at::parallel_for(0, pieces, 1, [&](std::int64_t begin, std::int64_t end) {
    const std::int64_t first = border(begin), last = border(end);
    if (first < last) {
      body(first, last);
    }
  });
}

}  // namespace thaw
