#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "dist/reduction/bucket_map.h"
#include "dist/reduction/sending/step_senders.h"
#include "dist/reduction/sharding/slice_memory.h"
#include "dist/reduction/sharding/sliced_parameters.h"

namespace thaw {

// Note [Gathers beside forward]
// Where the step to come overlaps, updates are gathered by the helper, which sends the next step's
// gradients too, so that one communicator serves both, in one order on all ranks. Each bucket's
// gather is a number in that order; whoever needs the bucket waits for it (Note [Updates on their
// way]). Buckets are in the order of backward, so gathers go from the last to the first. A slab is
// taken when a gather's turn comes and given back behind it, so that with "gradients" no more of
// them are there than before. On a GPU gathers are ordered on the current stream as they are
// started: running group by group costs kernels there that take two groups' operations together.

/// How what the ranks have made of their slices gets to all of them. Belongs to the thread that
/// trains; refers to what it is given.
class UpdateSharing {
 public:
  UpdateSharing(const BucketMap& map, SlicedParameters& slices, SliceMemory& memory,
                StepSenders& senders);

  /// A collective: starts it for all buckets, or does it. Returns whether any is under way.
  bool start();
  /// Returns when a bucket's parameters are whole.
  void wait_for_bucket(std::size_t bucket);
  void wait_for(std::span<const std::size_t> parameters);
  void wait_for_all();

  /// Seconds that this thread spent in the last `start`.
  double seconds() const { return seconds_; }

 private:
  void share(std::size_t bucket, bool is_last, Communicator& communicator, bool beside);

  const BucketMap& map_;
  SlicedParameters& slices_;
  SliceMemory& memory_;
  StepSenders& senders_;
  std::vector<std::int64_t> under_way_;  ///< of each bucket: its number; 0: it is there
  double seconds_ = 0;
};

}  // namespace thaw
