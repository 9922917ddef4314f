#pragma once

#include <cstdint>

#include "core/step/stop_request.h"

namespace at {
class Tensor;
}

namespace thaw {

class Communicator;

/// What one rank says in a step.
struct StepVote {
  const at::Tensor* loss_sum = nullptr;  ///< null: nobody asks for the loss; may be undefined
  /// A scalar; null: nobody asks for it. Rank 0's counts, the others' may be undefined.
  const at::Tensor* gradient_norm = nullptr;
  std::int64_t loss_parts = 1;  ///< elements of `loss_sum`, equal on all ranks; added up in order
  StopReason stop = StopReason::kNone;
  bool ready = true;  ///< with its part of a checkpoint
};

/// What all ranks said, the same on each.
struct StepVerdict {
  double loss_sum = 0;       ///< over the global batch
  double gradient_norm = 0;  ///< rank 0's bits
  StopReason stop = StopReason::kNone;
  bool all_ready = true;
};

/// A collective: one sum of a few numbers, which a step makes for its loss anyway. Blocks the host
/// for the device, once, where the loss or the norm is asked for.
StepVerdict agree_on_step(const StepVote& vote, Communicator& communicator);

}  // namespace thaw
