#pragma once

#include <memory>
#include <utility>
#include <vector>

#include "core/parallel/stage_coordinator.h"
#include "dist/reduction/bucket_map.h"
#include "dist/reduction/bucket_progress.h"
#include "dist/reduction/bucket_slabs.h"
#include "dist/reduction/row_reduction.h"
#include "dist/reduction/slab_memory.h"

namespace thaw {

/// A bucket map with its memory and what a step has done of it. Stays where it was built: its parts
/// refer to the map.
struct BucketGeneration {
  BucketGeneration(BucketMap planned, const std::vector<NamedParameter>& active, SlabMemory& memory)
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
