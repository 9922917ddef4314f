#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/data/order/batch_plan.h"
#include "core/parallel/gradient_reducer.h"

namespace thaw {

class BatchNorms;

/// What one forward of a rank may hold at most. One of them at most is given.
struct MicroBatchLimits {
  std::int64_t samples = 0;  ///< 0: the rank's whole share
  std::int64_t tokens = 0;   ///< of text (a sample of more is run alone); 0: no limit
};

/// With whom a rank goes forward.
struct ForwardPeers {
  int ranks;
  /// While one of these is synchronised, a forward is a collective: all ranks run as many.
  const BatchNorms& batch_norms;
};

/// The samples of each forward of a rank's share of a global batch, in order; empty ones where the
/// rank has fewer than the others and all must run as many. `offsets`: of text, the first token of
/// each sample of the share and the end. A collective where tokens are limited and forwards are
/// collectives.
std::vector<SampleRange> micro_batches_of(std::span<const std::int64_t> offsets, SampleShare share,
                                          const MicroBatchLimits& limits,
                                          const ForwardPeers& peers);

}  // namespace thaw
