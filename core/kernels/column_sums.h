#pragma once

#include <ATen/Parallel.h>

#include <algorithm>
#include <cstdint>
#include <vector>

namespace thaw {

/// Splits rows among threads and adds up what each contributes to sums over rows.
///
/// `body(begin, end, sums)` handles rows [begin, end) and adds to `sums`, `columns` elements that
/// start at 0. The totals go to `totals` in the order of the threads, so that they depend on the
/// number of threads alone.
template <typename T, typename Body>
void sum_over_rows(std::int64_t rows, std::int64_t grain, std::int64_t columns, T* totals,
                   const Body& body) {
  const auto threads = static_cast<std::size_t>(at::get_num_threads());
  std::vector<std::vector<T>> partial(threads);
  at::parallel_for(0, rows, grain, [&](std::int64_t begin, std::int64_t end) {
    std::vector<T>& sums = partial[static_cast<std::size_t>(at::get_thread_num())];
    sums.assign(static_cast<std::size_t>(columns), T(0));
    body(begin, end, sums.data());
  });
  std::fill(totals, totals + columns, T(0));
  for (const std::vector<T>& sums : partial) {
    for (std::size_t i = 0; i < sums.size(); ++i) {
      totals[i] += sums[i];
    }
  }
}

/// Rows that are worth a thread's while.
inline std::int64_t row_grain(std::int64_t width) {
  return std::max<std::int64_t>(1, 16384 / std::max<std::int64_t>(1, width));
}

}  // namespace thaw
