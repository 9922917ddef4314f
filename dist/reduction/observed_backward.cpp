#include "dist/reduction/observed_backward.h"

#include <cstring>
#include <string>

#include "core/parallel/fact_agreement.h"

namespace thaw {

namespace {

/// Rank 0's numbers on every rank.
std::vector<std::size_t> broadcast_numbers(Communicator& communicator,
                                           const std::vector<std::size_t>& numbers) {
  const std::string bytes = communicator.broadcast(
      std::string(reinterpret_cast<const char*>(numbers.data()), numbers.size() * sizeof(size_t)),
      /*root=*/0);
  std::vector<std::size_t> told(bytes.size() / sizeof(std::size_t));
  std::memcpy(told.data(), bytes.data(), told.size() * sizeof(std::size_t));
  return told;
}

}  // namespace

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
  const std::vector<std::size_t> order = broadcast_numbers(communicator, observed.order);
  if (order.empty()) return std::nullopt;
  std::vector<double> touched = observed.touched_rows;
  communicator.sum(touched);
  std::vector<BucketEntry> entries(parameters.begin(), parameters.end());
  for (std::size_t i = 0; i < entries.size(); ++i) {
    entries[i].by_rows = options.by_rows && touched[i] > 0 &&
                         4 * touched[i] <= static_cast<double>(entries[i].shape[0]);
  }
  BucketMap map = plan_buckets(entries, options, order);
  agree_on_facts(communicator, "bucket maps", map.facts());
  return map;
}

}  // namespace thaw
