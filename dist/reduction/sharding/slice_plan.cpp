#include "dist/reduction/sharding/slice_plan.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <numeric>

namespace thaw {

namespace {

std::int64_t element_bytes(const Bucket& bucket) {
  return static_cast<std::int64_t>(size_of(bucket.type));
}

/// Where the slices of `length` elements would end, were every element a place to cut at: each rank
/// gets what makes its load that of the others.
std::vector<double> wanted_ends(std::int64_t length, std::int64_t bytes_each,
                                const std::vector<std::int64_t>& loads) {
  const auto ranks = static_cast<double>(loads.size());
  const auto bytes = static_cast<double>(length * bytes_each);
  const double level =
      (static_cast<double>(std::accumulate(loads.begin(), loads.end(), std::int64_t{0})) + bytes) /
      ranks;
  std::vector<double> ends;
  double sum = 0;
  for (const std::int64_t load : loads) {
    sum += std::max(0.0, level - static_cast<double>(load));
    ends.push_back(sum);
  }
  for (double& end : ends) end *= sum > 0 ? static_cast<double>(length) / sum : 0;
  return ends;
}

/// The nearest place to `wanted` where a bucket may be cut: at a multiple of `unit` from the
/// beginning of the slot it falls into, see Note [Slices].
std::int64_t allowed_cut(const Bucket& bucket, std::int64_t wanted, std::int64_t unit) {
  const auto behind = std::upper_bound(
      bucket.slots.begin(), bucket.slots.end(), wanted,
      [](std::int64_t place, const BucketSlot& slot) { return place < slot.offset; });
  if (behind == bucket.slots.begin()) return wanted;
  const BucketSlot& slot = *(behind - 1);
  if (wanted - slot.offset >= slot.length) return wanted;  // between two slots
  const std::int64_t within = (wanted - slot.offset + unit / 2) / unit * unit;
  return slot.offset + std::min(within, slot.length);
}

}  // namespace

SlicePlan plan_slices(const BucketMap& map, std::span<const BucketEntry> parameters, int ranks) {
  SlicePlan plan;
  plan.ranks_ = ranks;
  plan.parameters_.resize(map.parameters());
  plan.bytes_.assign(static_cast<std::size_t>(ranks), 0);
  for (std::size_t i = 0; i < map.buckets().size(); ++i) {
    const Bucket& bucket = map.buckets()[i];
    const bool holds_flags = i + 1 == map.buckets().size() && map.parameters() > 0;
    const std::int64_t length = bucket.by_rows ? bucket.slots.front().length
                                : holds_flags  ? map.flags_offset()
                                               : bucket.length;
    std::int64_t unit = kSliceBytes / element_bytes(bucket);
    if (bucket.by_rows) unit = length / parameters[bucket.slots.front().parameter].shape.front();
    Cuts cuts = {0};
    for (const double end : wanted_ends(length, element_bytes(bucket), plan.bytes_)) {
      const auto wanted = std::min(static_cast<std::int64_t>(std::llround(end)), length);
      cuts.push_back(std::max(cuts.back(), allowed_cut(bucket, wanted, unit)));
    }
    cuts.back() = length;
    for (const BucketSlot& slot : bucket.slots) {
      Cuts& own = plan.parameters_[slot.parameter];
      for (const std::int64_t cut : cuts) {
        own.push_back(std::clamp<std::int64_t>(cut - slot.offset, 0, slot.length));
      }
      own.back() = slot.length;
      for (std::size_t rank = 0; rank < plan.bytes_.size(); ++rank) {
        plan.bytes_[rank] += (own[rank + 1] - own[rank]) * element_bytes(bucket);
      }
    }
    plan.buckets_.push_back(std::move(cuts));
  }
  for (std::size_t i = 0; i < plan.parameters_.size(); ++i) {
    plan.facts_.push_back(
        {parameters[i].name, "cut at", fmt::format("{}", fmt::join(plan.parameters_[i], ", "))});
  }
  plan.facts_.push_back({"", "ranks", fmt::format("{}", ranks)});
  plan.fingerprint_ = fingerprint(encode(plan.facts_));
  return plan;
}

}  // namespace thaw
