#pragma once

#include <future>
#include <span>
#include <vector>

#include "core/base/hash.h"
#include "core/parallel/stage_coordinator.h"
#include "dist/reduction/bucket_planner.h"
#include "dist/reduction/bucket_slabs.h"

namespace thaw {

class StagePlan;

/// Makes the gradient memory of a stage to come, on a thread of low priority beside training: the
/// first touch of 90 MB costs 80 ms, which the first step of the stage would pay.
///
/// Only host memory is touched. What goes wrong is forgotten: the transition does the same again
/// and tells.
class StagePreparation {
 public:
  /// Reads names, shapes and types of `parameters` alone, which training does not change.
  StagePreparation(const StagePlan& plan, std::span<const NamedTensor> parameters,
                   const BucketOptions& options);

  /// Whether it was made for a plan of this fingerprint.
  bool is_for(const Fingerprint& plan) const { return plan_ == plan; }
  void wait() const { memory_.wait(); }
  /// Waits until it is ready. Once.
  SlabMemory take() { return memory_.get(); }

 private:
  Fingerprint plan_;
  std::future<SlabMemory> memory_;
};

}  // namespace thaw
