#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "core/config/choices.h"
#include "dist/reduction/bucket_planner.h"
#include "dist/reduction/reducer_options.h"

namespace thaw {

/// Bytes that a rank holds in a stage for what is trained, beside what the program, the data and
/// the activations of forward take.
struct RankMemory {
  std::int64_t weights = 0;    ///< of the whole model, with its buffers
  std::int64_t gradients = 0;  ///< that are there from one step to the next
  std::int64_t state = 0;      ///< the optimizer's: of what is active, and what was before
  std::int64_t passing = 0;    ///< at most, of gradients that come and go within a step

  std::int64_t sum() const { return weights + gradients + state + passing; }
  friend bool operator==(const RankMemory&, const RankMemory&) = default;
};

/// What the memory of ranks follows from.
struct MemoryQuestion {
  int ranks = 1;
  Sharding sharding = Sharding::kNone;
  BucketOptions buckets = {};
  std::int64_t shards = 0;    ///< of canonical sums; 0: there are none
  std::int64_t slots = 2;     ///< tensors of state for each parameter
  std::int64_t weights = 0;   ///< bytes
  bool state_is_kept = true;  ///< that of frozen parameters
};

/// Bytes that MPI takes on a rank, at most, and what sums by it take, while these parameters'
/// gradients travel: Note [What MPI takes]. `on_host`: ranks that share a host. Pure.
std::int64_t message_bytes(const std::vector<BucketEntry>& active, const MemoryQuestion& question,
                           int on_host);

/// The memory of each rank in each of some stages, one after another, that activate these
/// parameters (`by_rows`: they may travel so). Pure: what the plans of buckets and slices say,
/// without what allocators and communication libraries add.
std::vector<std::vector<RankMemory>> memory_of_stages(
    std::span<const std::vector<BucketEntry>> stages, const MemoryQuestion& question);

}  // namespace thaw
