#include "core/checkpoint/sharding.h"

#include <algorithm>
#include <cstddef>
#include <functional>
#include <numeric>
#include <queue>
#include <utility>

namespace thaw {

// The largest first, each to whoever has least: at most 4/3 of the best possible (Graham 1969).
std::vector<int> assign_writers(const std::vector<std::int64_t>& bytes, int ranks) {
  std::vector<std::size_t> order(bytes.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return bytes[a] > bytes[b]; });
  using Load = std::pair<std::int64_t, int>;  // ties go to the lower rank
  std::priority_queue<Load, std::vector<Load>, std::greater<>> loads;
  for (int rank = 0; rank < ranks; ++rank) loads.emplace(0, rank);
  std::vector<int> writers(bytes.size(), 0);
  for (const std::size_t i : order) {
    const auto [load, rank] = loads.top();
    loads.pop();
    writers[i] = rank;
    loads.emplace(load + bytes[i], rank);
  }
  return writers;
}

}  // namespace thaw
