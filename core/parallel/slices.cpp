#include "core/parallel/slices.h"

#include <ATen/ops/empty.h>
#include <c10/core/GradMode.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "core/base/error.h"
#include "core/base/numbers.h"

namespace thaw {

Cuts even_cuts(std::int64_t elements, int ranks, std::int64_t unit) {
  const std::int64_t units = (elements + unit - 1) / unit;
  Cuts cuts = {0};
  for (int rank = 0; rank < ranks; ++rank) {
    cuts.push_back(std::min(balanced_split(units, rank, ranks).second * unit, elements));
  }
  return cuts;
}

std::vector<SliceMove> moves_between(const Cuts& before, const Cuts& after) {
  std::vector<SliceMove> moves;
  const std::size_t ranks = before.size() - 1;
  for (std::size_t from = 0; from < ranks; ++from) {
    for (std::size_t to = 0; to < ranks; ++to) {
      const std::int64_t first = std::max(before[from], after[to]);
      const std::int64_t last = std::min(before[from + 1], after[to + 1]);
      if (from != to && first < last) {
        moves.push_back({static_cast<int>(from), static_cast<int>(to), first, last});
      }
    }
  }
  return moves;
}

void check_cuts(std::span<const std::int64_t> cuts, std::int64_t elements, int ranks,
                std::string_view what) {
  const bool right = cuts.size() == static_cast<std::size_t>(ranks) + 1 && cuts.front() == 0 &&
                     cuts.back() == elements && std::is_sorted(cuts.begin(), cuts.end());
  if (right) return;
  throw RunError(fmt::format("{}: [{}] does not cut {} elements for {} ranks", what,
                             fmt::join(cuts, ", "), elements, ranks));
}

at::Tensor flat(const at::Tensor& tensor) { return flat(tensor, 0, tensor.numel()); }

at::Tensor flat(const at::Tensor& tensor, std::int64_t first, std::int64_t last) {
  const c10::AutoGradMode no_grad(false);
  return at::empty({0}, tensor.options().requires_grad(false))
      .set_(tensor.storage(), tensor.storage_offset() + first, {last - first}, {1});
}

}  // namespace thaw
