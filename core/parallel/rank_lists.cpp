#include "core/parallel/rank_lists.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cstddef>

namespace thaw {

std::string rank_list(const std::vector<int>& ranks) {
  std::vector<std::string> runs;
  for (std::size_t first = 0; first < ranks.size();) {
    std::size_t last = first;
    while (last + 1 < ranks.size() && ranks[last + 1] == ranks[last] + 1) ++last;
    if (last - first < 2) {  // "1, 2" reads better than "1-2"
      for (std::size_t i = first; i <= last; ++i) runs.push_back(fmt::format("{}", ranks[i]));
    } else {
      runs.push_back(fmt::format("{}-{}", ranks[first], ranks[last]));
    }
    first = last + 1;
  }
  return fmt::format("{} {}", ranks.size() == 1 ? "rank" : "ranks", fmt::join(runs, ", "));
}

}  // namespace thaw
