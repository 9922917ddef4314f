#include "core/tasks/mistakes.h"

#include <algorithm>
#include <functional>

namespace thaw {

std::vector<Mistake> most_frequent_mistakes(const std::vector<std::vector<double>>& confusion,
                                            std::size_t most) {
  std::vector<Mistake> found;
  for (std::size_t row = 0; row < confusion.size(); ++row) {
    for (std::size_t column = 0; column < confusion[row].size(); ++column) {
      const auto samples = static_cast<std::int64_t>(confusion[row][column]);
      if (row != column && samples > 0) found.push_back({row, column, samples});
    }
  }
  std::ranges::stable_sort(found, std::ranges::greater(), &Mistake::samples);
  if (found.size() > most) found.resize(most);
  return found;
}

}  // namespace thaw
