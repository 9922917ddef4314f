#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "core/parallel/stage_coordinator.h"
#include "dist/reduction/bucket_map.h"
#include "dist/reduction/bucket_slabs.h"
#include "dist/reduction/row_reduction.h"

namespace thaw {

/// How far one step has come: which parameters got a gradient, which are ready to travel, which
/// buckets were launched. Bookkeeping alone: pure but for what it remembers.
class BucketProgress {
 public:
  explicit BucketProgress(const BucketMap& map) : map_(&map) { begin(); }

  /// A new step.
  void begin();

  /// Whether `parameter` has a gradient of this rank.
  void mark_used(std::size_t parameter, bool used) { used_[parameter] = used; }
  /// The last backward has passed `parameter`: its bucket waits for it no longer.
  void mark_ready(std::size_t parameter);

  /// Whether the next bucket in order is complete and not the last, which waits for `finish`.
  bool next_is_ready() const;
  /// Records that the next bucket in order is launched, and returns its number.
  std::size_t launch_next();

  bool was_launched(std::size_t parameter) const {
    return map_->bucket_of(parameter) < launched_.size();
  }
  bool only_the_last_is_left() const { return launched_.size() + 1 >= map_->buckets().size(); }
  const std::vector<bool>& used() const { return used_; }
  /// Parameters in the order in which they became ready.
  std::span<const std::size_t> order() const { return order_; }
  std::span<const std::size_t> launched() const { return launched_; }

 private:
  const BucketMap* map_;
  std::vector<bool> used_;
  std::vector<bool> ready_;
  std::vector<std::size_t> pending_;  ///< of each bucket: parameters that are not ready
  std::vector<std::size_t> order_;
  std::vector<std::size_t> launched_;
};

/// A bucket map with its memory and what a step has done of it. Stays where it was built: its parts
/// refer to the map.
struct BucketGeneration {
  BucketGeneration(BucketMap planned, const std::vector<NamedTensor>& active, SlabMemory& memory)
      : map(std::move(planned)), slabs(map, active, memory), progress(map) {
    for (const Bucket& bucket : map.buckets()) {
      rows.push_back(bucket.by_rows ? std::make_unique<RowReduction>(
                                          active[bucket.slots.front().parameter].tensor)
                                    : nullptr);
    }
  }
  BucketGeneration(const BucketGeneration&) = delete;
  BucketGeneration& operator=(const BucketGeneration&) = delete;

  const BucketMap map;
  BucketSlabs slabs;
  std::vector<std::unique_ptr<RowReduction>> rows;  ///< of each bucket; null where it is dense
  BucketProgress progress;
};

}  // namespace thaw
