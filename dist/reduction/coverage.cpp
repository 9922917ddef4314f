#include "dist/reduction/coverage.h"

#include <fmt/format.h>

namespace thaw {

std::string coverage_fault(const BucketMap& map, std::span<const std::size_t> launched,
                           std::span<const NamedParameter> active) {
  std::vector<int> times(active.size(), 0);
  for (const std::size_t bucket : launched) {
    for (const BucketSlot& slot : map.buckets()[bucket].slots) {
      if (slot.parameter >= active.size()) {
        return fmt::format("bucket {} holds a gradient that belongs to no active parameter",
                           bucket);
      }
      ++times[slot.parameter];
    }
  }
  for (std::size_t i = 0; i < active.size(); ++i) {
    if (times[i] != 1) {
      return fmt::format("the gradient of parameter \"{}\" was reduced {} times in one step",
                         active[i].name, times[i]);
    }
  }
  return {};
}

}  // namespace thaw
