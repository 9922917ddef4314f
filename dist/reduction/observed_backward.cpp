#include "dist/reduction/observed_backward.h"

#include <map>
#include <set>
#include <string>

#include "core/parallel/communicator.h"
#include "core/parallel/fact_agreement.h"

namespace thaw {

std::vector<std::size_t> complete_order(std::span<const std::size_t> seen, std::size_t parameters) {
  std::vector<bool> is_seen(parameters, false);
  for (const std::size_t parameter : seen) is_seen[parameter] = true;
  std::vector<std::size_t> order(seen.begin(), seen.end());
  for (std::size_t i = parameters; i-- > 0;) {
    if (!is_seen[i]) order.push_back(i);
  }
  return order;
}

std::optional<BucketMap> plan_observed(Communicator& communicator,
                                       std::span<const BucketEntry> parameters,
                                       const BucketOptions& options,
                                       const ObservedBackward& observed) {
  std::vector<std::size_t> order = observed.order;
  broadcast_numbers(communicator, order);
  if (order.empty()) return std::nullopt;
  std::vector<double> touched = observed.touched_rows;
  communicator.all_reduce(touched);
  std::vector<BucketEntry> entries(parameters.begin(), parameters.end());
  for (std::size_t i = 0; i < entries.size(); ++i) {
    entries[i].by_rows = options.by_rows && touched[i] > 0 &&
                         4 * touched[i] <= static_cast<double>(entries[i].shape[0]);
  }
  BucketMap map = plan_buckets(entries, options, order);
  agree_on_facts(communicator, "bucket maps", map.facts());
  return map;
}

ReductionOrder order_of(const BucketMap& map, std::span<const BucketEntry> parameters) {
  ReductionOrder order;
  for (const Bucket& bucket : map.buckets()) {
    for (const BucketSlot& slot : bucket.slots) {
      order.parameters.push_back(parameters[slot.parameter].name);
      if (bucket.by_rows) order.by_rows.push_back(parameters[slot.parameter].name);
    }
  }
  return order;
}

std::optional<BucketMap> plan_in_order(Communicator& communicator,
                                       std::span<const BucketEntry> parameters,
                                       const BucketOptions& options, const ReductionOrder& order) {
  std::map<std::string, std::size_t> places;
  for (std::size_t i = 0; i < parameters.size(); ++i) places[parameters[i].name] = i;
  std::vector<std::size_t> indices;
  for (const std::string& name : order.parameters) {
    const auto found = places.find(name);
    if (found == places.end()) return std::nullopt;
    indices.push_back(found->second);
    places.erase(found);
  }
  if (indices.empty() || !places.empty()) return std::nullopt;
  std::vector<BucketEntry> entries(parameters.begin(), parameters.end());
  const std::set<std::string> by_rows(order.by_rows.begin(), order.by_rows.end());
  for (BucketEntry& entry : entries) entry.by_rows = by_rows.contains(entry.name);
  BucketMap map = plan_buckets(entries, options, indices);
  agree_on_facts(communicator, "bucket maps", map.facts());
  return map;
}

}  // namespace thaw
