#pragma once

#include <ATen/core/Tensor.h>

#include <memory>

#include "core/parallel/communicator.h"

namespace thaw {

/// Sums slabs over the ranks, one after another in the order in which they are handed over, which
/// is the same on all ranks.
class BucketSender {
 public:
  virtual ~BucketSender() = default;

  /// Hands over a slab; nobody touches it until `drain` has returned. Throws what an earlier slab
  /// failed with.
  virtual void send(const at::Tensor& slab) = 0;
  /// Returns when all that was handed over is summed; throws what failed.
  virtual void drain() = 0;
};

/// Sums within `send`, on the calling thread.
std::unique_ptr<BucketSender> make_blocking_sender(Communicator& communicator);

}  // namespace thaw
