#include "dist/reduction/bucket_planner.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <functional>
#include <map>
#include <numeric>
#include <utility>

#include "core/base/error.h"

namespace thaw {

namespace {

// A cache line, and what AVX-512 loads want.
constexpr std::int64_t kAlignment = 64;
constexpr std::int64_t kMebi = 1 << 20;

std::int64_t elements_of(const BucketEntry& entry) {
  return std::accumulate(entry.shape.begin(), entry.shape.end(), std::int64_t{1},
                         std::multiplies<>());
}

std::int64_t bytes_of(const BucketEntry& entry) {
  return elements_of(entry) * static_cast<std::int64_t>(size_of(entry.type));
}

std::int64_t round_up(std::int64_t value, std::int64_t unit) {
  return (value + unit - 1) / unit * unit;
}

std::vector<std::size_t> checked_order(std::size_t parameters, std::span<const std::size_t> order) {
  std::vector<std::size_t> ready(parameters);
  if (order.empty()) {
    std::iota(ready.rbegin(), ready.rend(), std::size_t{0});
    return ready;
  }
  ready.assign(order.begin(), order.end());
  std::vector<std::size_t> sorted = ready;
  std::sort(sorted.begin(), sorted.end());
  for (std::size_t i = 0; i < std::max(parameters, sorted.size()); ++i) {
    if (i >= parameters || i >= sorted.size() || sorted[i] != i) {
      throw InputError(fmt::format("bucket order: not a permutation of {} parameters", parameters));
    }
  }
  return ready;
}

}  // namespace

/// Fills buckets in the order of readiness; one is open for each (type, device) at a time.
class BucketMapBuilder {
 public:
  BucketMapBuilder(std::span<const BucketEntry> entries, const BucketOptions& options)
      : entries_(entries) {
    std::int64_t active_bytes = 0;
    bool on_gpus = false;
    for (const BucketEntry& entry : entries) {
      if (!entry.by_rows) active_bytes += bytes_of(entry);
      on_gpus = on_gpus || entry.device != "cpu";
    }
    cap_ = options.cap_bytes > 0 ? options.cap_bytes : bucket_cap(active_bytes, on_gpus);
    // What fits in one bucket travels in one: a second call would cost more than it saves.
    first_cap_ = options.first_cap_bytes > 0 ? options.first_cap_bytes
                 : active_bytes <= cap_      ? cap_
                                             : cap_ / 4;
  }

  BucketMap build(std::span<const std::size_t> order) {
    map_.generation_ = order.empty() ? 0 : 1;
    for (const std::size_t parameter : checked_order(entries_.size(), order)) add(parameter);
    while (!open_.empty()) close(open_.begin());
    // Launched when the last of its gradients is ready.
    std::sort(closed_.begin(), closed_.end(),
              [](const Open& a, const Open& b) { return a.ready < b.ready; });
    for (Open& bucket : closed_) map_.buckets_.push_back(std::move(bucket.bucket));
    if (!entries_.empty()) append_flags();
    index_slots();
    count_bytes();
    write_facts();
    return std::move(map_);
  }

 private:
  struct Open {
    Bucket bucket;
    std::size_t ready = 0;  ///< place in the order of readiness of its last gradient
  };
  using Kind = std::pair<ElementType, std::string>;

  void add(std::size_t parameter) {
    const BucketEntry& entry = entries_[parameter];
    if (entry.by_rows) {
      closed_.push_back(
          {{entry.type, entry.device, {{parameter, 0, elements_of(entry)}}, 0, true}, added_++});
      return;
    }
    const Kind kind(entry.type, entry.device);
    const auto element_bytes = static_cast<std::int64_t>(size_of(entry.type));
    auto open = open_.find(kind);
    if (open != open_.end() &&
        open->second.bucket.length * element_bytes + bytes_of(entry) > current_cap()) {
      close(open);
      open = open_.end();
    }
    if (open == open_.end()) {
      open = open_.emplace(kind, Open{{entry.type, entry.device, {}, 0, false}, 0}).first;
    }
    Bucket& bucket = open->second.bucket;
    const std::int64_t length = elements_of(entry);
    bucket.slots.push_back({parameter, bucket.length, length});
    bucket.length += round_up(length * element_bytes, kAlignment) / element_bytes;
    open->second.ready = added_++;
  }

  std::int64_t current_cap() const { return any_is_full_ ? cap_ : first_cap_; }

  void close(std::map<Kind, Open>::iterator open) {
    closed_.push_back(std::move(open->second));
    open_.erase(open);
    any_is_full_ = true;
  }

  /// To the last dense bucket, which becomes the last of all.
  void append_flags() {
    std::vector<Bucket>& buckets = map_.buckets_;
    const auto dense = std::find_if(buckets.rbegin(), buckets.rend(),
                                    [](const Bucket& bucket) { return !bucket.by_rows; });
    if (dense == buckets.rend()) {
      buckets.emplace_back().device = "cpu";
    } else {
      std::rotate(dense.base() - 1, dense.base(), buckets.end());
    }
    Bucket& last = buckets.back();
    map_.flags_offset_ = last.length;
    last.length += static_cast<std::int64_t>(entries_.size()) + 2;
  }

  void index_slots() {
    map_.bucket_of_.resize(entries_.size());
    map_.slot_of_.resize(entries_.size());
    for (std::size_t bucket = 0; bucket < map_.buckets_.size(); ++bucket) {
      const auto& slots = map_.buckets_[bucket].slots;
      for (std::size_t slot = 0; slot < slots.size(); ++slot) {
        map_.bucket_of_[slots[slot].parameter] = bucket;
        map_.slot_of_[slots[slot].parameter] = slot;
      }
    }
  }

  void count_bytes() {
    std::int64_t all = 0;
    for (const Bucket& bucket : map_.buckets_) {
      all += bucket.length * static_cast<std::int64_t>(size_of(bucket.type));
    }
    for (const BucketEntry& entry : entries_) {
      map_.payload_bytes_ += bytes_of(entry);
      if (entry.by_rows) map_.by_rows_bytes_ += bytes_of(entry);
    }
    map_.padding_bytes_ = all + map_.by_rows_bytes_ - map_.payload_bytes_;
  }

  void write_facts() {
    Facts& facts = map_.facts_;
    facts.push_back({"", "generation", fmt::format("{}", map_.generation_)});
    facts.push_back({"", "buckets", fmt::format("{}", map_.buckets_.size())});
    for (std::size_t i = 0; i < entries_.size(); ++i) {
      const BucketEntry& entry = entries_[i];
      facts.push_back({entry.name, "shape", fmt::format("[{}]", fmt::join(entry.shape, ", "))});
      facts.push_back({entry.name, "memory layout (strides)",
                       fmt::format("[{}]", fmt::join(entry.strides, ", "))});
      facts.push_back({entry.name, "type", std::string(name_of(entry.type))});
      facts.push_back({entry.name, "device", entry.device});
      facts.push_back({entry.name, "place",
                       fmt::format("bucket {} at {}{}", map_.bucket_of(i), map_.slot_of(i).offset,
                                   entry.by_rows ? ", by rows" : "")});
    }
    map_.fingerprint_ = fingerprint(encode(facts));
  }

  std::span<const BucketEntry> entries_;
  std::int64_t cap_ = 0;
  std::int64_t first_cap_ = 0;
  std::map<Kind, Open> open_;
  std::vector<Open> closed_;
  std::size_t added_ = 0;
  bool any_is_full_ = false;
  BucketMap map_;
};

std::int64_t bucket_cap(std::int64_t active_bytes, bool on_gpus) {
  // Smaller sums do not fill the links between GPUs. (PyTorch's DDP has 25 MiB too.)
  if (on_gpus) return std::clamp(active_bytes / 16, 25 * kMebi, 100 * kMebi);
  // About 16 buckets: enough to overlap, few enough that a call's fixed cost (tens of
  // microseconds) does not show. Above 16 MiB a bucket only delays the ones behind it.
  return std::clamp(active_bytes / 16, kMebi, 16 * kMebi);
}

BucketMap plan_buckets(std::span<const BucketEntry> parameters, const BucketOptions& options,
                       std::span<const std::size_t> order) {
  return BucketMapBuilder(parameters, options).build(order);
}

}  // namespace thaw
