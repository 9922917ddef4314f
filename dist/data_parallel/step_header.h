#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>

#include "core/parallel/communicator.h"

namespace thaw {

/// What all ranks say of a step.
struct StepShares {
  std::int64_t total = 0;  ///< samples of all ranks
  int automatic = 0;       ///< ranks whose backward ends the step
  int joined = 0;          ///< ranks that have no more samples (DataParallel::join)
  int holding = 0;         ///< ranks in whose `.grad` something stood that the step adds to
  int following = 0;       ///< of those that have joined, the ranks that update with the others
  int first_active = 0;    ///< the first rank that has not joined
};

/// Of one rank, what StepShares counts.
struct StepMarks {
  bool automatic = false, holding = false, following = false;
};

/// The small message that begins each step: every rank's samples, on a communicator of its own, so
/// that it travels beside the work.
class StepHeader {
 public:
  // In the place of samples:
  static constexpr std::int64_t kJoined = -1;
  static constexpr std::int64_t kLeft = -2;  ///< makes no more steps, because of an exception

  /// `communicator` outlives it.
  explicit StepHeader(Communicator& communicator) : communicator_(communicator) {}
  ~StepHeader();
  StepHeader(const StepHeader&) = delete;
  StepHeader& operator=(const StepHeader&) = delete;

  /// Starts to tell the others. Once a step, on all ranks. Throws RunError where one has left.
  void start(std::int64_t samples, StepMarks marks = {});
  bool started() const { return started_; }
  /// Waits for the others; after `start`. May be called again. Throws RunError, naming it, where
  /// one has left in the place of this step.
  const StepShares& wait();
  /// Gets ready for the next step.
  void reset() { started_ = false; }
  /// In the place of `start`: this rank makes no more steps. Gives the others a moment to hear it.
  void leave();

 private:
  void send(std::int64_t samples, StepMarks marks);
  void refuse_left() const;

  Communicator& communicator_;
  bool started_ = false;
  at::Tensor values_;  ///< of each rank its samples, then how many have each mark
  std::unique_ptr<Work> pending_;
  StepShares shares_;
  int left_ = -1;  ///< a rank that has left
};

}  // namespace thaw
