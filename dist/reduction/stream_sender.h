#pragma once

#include <memory>

#include "dist/reduction/bucket_sender.h"

namespace thaw {

/// Sums slabs on a GPU beside the work that computes, without blocking the host: `send` queues the
/// sum behind what the calling thread has queued on its current stream, `drain` makes the current
/// stream wait for all sums. The host only blocks where it reads what depends on them.
/// See Note [Sums beside backward on a GPU] in stream_sender.cpp.
///
/// `communicator` takes tensors on `device` and several started sums at once
/// (make_nccl_communicator does). A collective: sums one number there, so that what a communicator
/// sets up at its first tensor costs no step, and does not wait for other ranks inside backward.
std::unique_ptr<BucketSender> make_stream_sender(Communicator& communicator, at::Device device);

}  // namespace thaw
