#include "core/base/suggest.h"

#include <algorithm>
#include <numeric>

namespace thaw {

namespace {

/// The distance is at least this.
std::size_t difference_in_length(std::string_view a, std::string_view b) {
  return a.size() > b.size() ? a.size() - b.size() : b.size() - a.size();
}

}  // namespace

std::size_t edit_distance(std::string_view a, std::string_view b) {
  // So far apart, nobody takes one for the other, and a key of megabytes is not worth minutes.
  constexpr std::size_t kFarApart = 100;
  const std::size_t least = difference_in_length(a, b);
  if (least > kFarApart) return least;
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t substituted = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, substituted});
    }
  }
  return row.back();
}

std::size_t largest_misspelling(std::string_view name) {
  return std::max<std::size_t>(2, name.size() / 2);
}

std::string nearest_name(std::string_view name, const std::vector<std::string>& candidates) {
  std::string best;
  std::size_t best_distance = largest_misspelling(name) + 1;
  for (const std::string& candidate : candidates) {
    if (difference_in_length(name, candidate) >= best_distance) continue;
    const std::size_t distance = edit_distance(name, candidate);
    if (distance < best_distance) {
      best_distance = distance;
      best = candidate;
    }
  }
  return best;
}

}  // namespace thaw
