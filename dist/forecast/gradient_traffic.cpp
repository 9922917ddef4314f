#include "dist/forecast/gradient_traffic.h"

#include <algorithm>
#include <functional>
#include <limits>
#include <numeric>

namespace thaw {

namespace {

constexpr std::int64_t kBFloat16Bytes = 2;

std::int64_t size_of_element(ElementType type) { return static_cast<std::int64_t>(size_of(type)); }

std::int64_t bytes_of(const BucketEntry& entry) {
  return std::accumulate(entry.shape.begin(), entry.shape.end(), size_of_element(entry.type),
                         std::multiplies<>());
}

std::int64_t largest_share(const ForecastJob& job) {
  return (job.batch + job.ranks - 1) / job.ranks;
}

/// Whether the reducer would send a gradient by rows, as plan_observed decides it: from the rows
/// that each rank touches, added up over the ranks.
bool goes_by_rows(const StageCosts& costs, const ForecastJob& job, const BucketEntry& entry) {
  if (!entry.by_rows || !job.buckets.by_rows || job.ranks == 1 || job.shards > 0) return false;
  if (job.wire != GradientWire::kSame) return false;  // what a hook sums, it sums as it is
  const std::int64_t touched = job.ranks * touched_by(costs.touched, largest_share(job));
  return touched > 0 && 4 * touched <= entry.shape[0];
}

/// Seconds of backward at which each gradient is there. Groups come from the last to the first;
/// within one, time goes by the bytes of its gradients, in reverse order of declaration.
struct Readiness {
  std::vector<double> seconds;     ///< by gradient
  std::vector<std::size_t> order;  ///< of gradients, as they become ready
  double end = 0;
};

Readiness readiness(const StageCosts& costs, bool packs, double samples, double rate) {
  Readiness ready;
  ready.seconds.assign(costs.gradients.size(), 0);
  for (std::size_t group = costs.groups.size(); group-- > 0;) {
    std::vector<std::size_t> own;
    std::int64_t bytes = 0;
    for (std::size_t i = costs.gradients.size(); i-- > 0;) {
      if (costs.gradients[i].group != group) continue;
      own.push_back(i);
      bytes += bytes_of(costs.gradients[i].entry);
    }
    double seconds = costs.groups[group].backward.at(samples);
    if (packs) seconds += costs.pack_per_byte * static_cast<double>(bytes);
    seconds /= rate;
    std::int64_t done = 0;
    for (const std::size_t i : own) {
      done += bytes_of(costs.gradients[i].entry);
      const double share = bytes > 0 ? static_cast<double>(done) / static_cast<double>(bytes) : 1;
      ready.seconds[i] = ready.end + seconds * share;
      ready.order.push_back(i);
    }
    ready.end += seconds;
  }
  return ready;
}

/// Bytes of a dense bucket as they travel. Flags go by themselves beside what is rounded, and
/// beside slices.
std::int64_t travelling_bytes(const Bucket& bucket, std::int64_t flags, bool rounded) {
  const std::int64_t element = size_of_element(bucket.type);
  return (bucket.length - flags) * (rounded ? std::min(element, kBFloat16Bytes) : element);
}

class TrafficBuilder {
 public:
  TrafficBuilder(const StageCosts& costs, const ForecastJob& job, const Readiness& ready)
      : costs_(costs), job_(job), ready_(ready) {}

  GradientTraffic build() {
    traffic_.backward = ready_.end;
    if (costs_.gradients.empty()) return traffic_;
    const BucketMap map = plan();
    const std::vector<Bucket>& buckets = map.buckets();
    traffic_.payload_bytes = map.payload_bytes() - map.by_rows_bytes();
    traffic_.padding_bytes = map.padding_bytes();
    for (std::size_t i = 0; i < buckets.size(); ++i) {
      if (buckets[i].by_rows) {
        add_rows(buckets[i]);
      } else {
        add_dense(buckets[i], i + 1 == buckets.size() ? map.flags_length() : 0);
      }
    }
    // The last waits for backward's end: Note [The last bucket waits] in bucket_reducer.cpp.
    traffic_.loads.back().ready = ready_.end;
    return traffic_;
  }

 private:
  BucketMap plan() const {
    std::vector<BucketEntry> entries;
    for (const GradientCosts& gradient : costs_.gradients) {
      entries.push_back(gradient.entry);
      entries.back().by_rows = goes_by_rows(costs_, job_, gradient.entry);
    }
    BucketOptions options = job_.buckets;
    if (job_.shards > 0) options.cap_bytes = std::numeric_limits<std::int64_t>::max();
    return plan_buckets(entries, options, ready_.order);
  }

  double ready_at(const Bucket& bucket) const {
    double last = 0;
    for (const BucketSlot& slot : bucket.slots) {
      last = std::max(last, ready_.seconds[slot.parameter]);
    }
    return last;
  }

  void add_dense(const Bucket& bucket, std::int64_t flags) {
    const bool rounded = job_.wire == GradientWire::kBFloat16;
    const bool flags_alone = flags > 0 && (rounded || job_.sharding != Sharding::kNone);
    if (flags_alone) traffic_.flag_bytes = flags * size_of_element(bucket.type);
    traffic_.loads.push_back({.ready = ready_at(bucket),
                              .bytes = travelling_bytes(bucket, flags_alone ? flags : 0, rounded),
                              .whole = travelling_bytes(bucket, flags, /*rounded=*/false)});
    traffic_.held_bytes += bucket.length * size_of_element(bucket.type);
  }

  /// Marks of all rows, then the rows that any rank touched, or all where those are many: as
  /// RowReduction does it.
  void add_rows(const Bucket& bucket) {
    const BucketEntry& entry = costs_.gradients[bucket.slots.front().parameter].entry;
    const std::int64_t rows = entry.shape[0];
    const std::int64_t touched = std::min(rows, touched_by(costs_.touched, job_.batch));
    const std::int64_t bytes = bytes_of(entry);
    const std::int64_t travelling = 2 * touched > rows ? bytes : touched * (bytes / rows);
    traffic_.loads.push_back({.ready = ready_at(bucket),
                              .bytes = travelling,
                              .whole = bytes,
                              .marks = rows * kBFloat16Bytes});
    traffic_.payload_bytes += travelling + rows * kBFloat16Bytes;
    traffic_.held_bytes += bytes;
  }

  const StageCosts& costs_;
  const ForecastJob& job_;
  const Readiness& ready_;
  GradientTraffic traffic_;
};

}  // namespace

GradientTraffic traffic_of(const StageCosts& costs, const ForecastJob& job, double samples,
                           double rate) {
  const Readiness ready = readiness(costs, job.ranks > 1, samples, rate);
  return TrafficBuilder(costs, job, ready).build();
}

}  // namespace thaw
