#include "core/checkpoint/retention.h"

#include <algorithm>
#include <cmath>

namespace thaw {

std::vector<CheckpointPlace> superfluous(std::vector<StoredCheckpoint> stored,
                                         const RetentionRules& rules) {
  std::sort(stored.begin(), stored.end(),
            [](const auto& a, const auto& b) { return a.place < b.place; });
  const StoredCheckpoint* best = nullptr;
  for (const StoredCheckpoint& each : stored) {
    if (!each.evaluation_loss || std::isnan(*each.evaluation_loss)) continue;
    if (best == nullptr || *each.evaluation_loss < *best->evaluation_loss) best = &each;
  }
  const auto newest = static_cast<std::size_t>(std::max<std::int64_t>(rules.newest, 1));
  const std::size_t old = stored.size() > newest ? stored.size() - newest : 0;
  std::vector<CheckpointPlace> result;
  for (std::size_t i = 0; i < old; ++i) {
    const bool stays =
        (rules.transitions && stored[i].place.transition) || (rules.best && &stored[i] == best);
    if (!stays) result.push_back(stored[i].place);
  }
  return result;
}

}  // namespace thaw
