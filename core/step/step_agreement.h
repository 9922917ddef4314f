#pragma once

#include <cstdint>

#include "core/step/stop_request.h"

namespace at {
class Tensor;
}

namespace thaw {

class Communicator;
class GradientReducer;

// Note [Ways of a step]
// Where several ranks train, a step has sums on GPUs, which pair by their order however they are
// asked for, and host work beside them that a step has only when it is queued call by call or
// recorded: the reducer's flags travel over MPI. So all ranks make a step in the same way. What
// decides of a rank's way is its own (the lengths of its samples), so each says which one it could
// take, and all take the one that the most cautious asks for. NCCL asks that a sum which is queued
// again be on all ranks what was recorded together, so ranks queue the same graph again, by its
// number, or none. That rides in the sum that steps
// make for stop requests and checkpoints anyway: it is made before the step then. A step that is
// queued again makes no other sum over MPI, one that cannot be a graph says all of that with the
// reducer's flags: one sum over MPI a step. Two has a step that is queued or recorded where others
// are graphs.

/// How a step is made, the most cautious way first.
enum class StepWay {
  kQueue,   ///< call by call
  kRecord,  ///< in a CUDA graph that is made of it
  kReplay,  ///< in one that is there
};

/// What a rank can do with a step.
struct StepChoice {
  StepWay way = StepWay::kReplay;
  /// Of kReplay: which of the graphs that ranks recorded together, >= 0 and below 2^24.
  std::int64_t graph = 0;
};

/// What one rank says in a step.
struct StepVote {
  const at::Tensor* loss_sum = nullptr;  ///< null: nobody asks for the loss; may be undefined
  /// A scalar; null: nobody asks for it. Rank 0's counts, the others' may be undefined.
  const at::Tensor* gradient_norm = nullptr;
  std::int64_t loss_parts = 1;  ///< elements of `loss_sum`, equal on all ranks; added up in order
  StopReason stop = StopReason::kNone;
  bool ready = true;       ///< with its part of a checkpoint
  StepChoice choice = {};  ///< who is not asked is in nobody's way
  /// Whose `finish` is called on the way, with what is said here taken along where it can be; null:
  /// nobody's. Then loss and norm are not asked for, which are not there before.
  GradientReducer* reducer = nullptr;
};

/// What all ranks said, the same on each.
struct StepVerdict {
  double loss_sum = 0;       ///< over the global batch
  double gradient_norm = 0;  ///< rank 0's bits
  StopReason stop = StopReason::kNone;
  bool all_ready = true;
  StepWay way = StepWay::kReplay;  ///< that all can take
};

/// A collective: one sum of a few numbers, which a step makes for its loss anyway. Blocks the host
/// for the device, once, where the loss or the norm is asked for.
StepVerdict agree_on_step(const StepVote& vote, Communicator& communicator);

}  // namespace thaw
