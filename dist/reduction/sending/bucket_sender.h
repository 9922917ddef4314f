#pragma once

#include <ATen/core/Tensor.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "core/parallel/communicator.h"
#include "core/parallel/stage_coordinator.h"
#include "dist/reduction/row_reduction.h"
#include "dist/reduction/sending/gradient_hook.h"

namespace thaw {

/// A slab that is to be summed.
struct BucketLoad {
  at::Tensor slab;
  std::size_t bucket = 0;
  std::int64_t flags = 0;  ///< elements at its end that are no gradients
  /// Not empty: each rank gets its slice of the sum alone (Note [Slices]). Lives until `drain`.
  std::span<const std::int64_t> cuts = {};
  /// Called when the sum is there, on the thread that sums; on a GPU when it is ordered before the
  /// current stream, on the thread that sends. May be empty.
  std::function<void()> summed = {};
};

/// Sums a slab over the ranks, all of it or to slices: by `hook`, where there is one, but for its
/// flags (a hook makes no slices). A collective.
void sum_load(BucketLoad& load, GradientHook* hook, Communicator& communicator);

/// Sums slabs over the ranks, one after another in the order in which they are handed over, which
/// is the same on all ranks. The communicator is its own for as long as something is under way.
///
/// The seam between the reducer, which decides what leaves and when, and the three ways of sending
/// below. Belongs to the thread that runs backward.
class BucketSender {
 public:
  virtual ~BucketSender() = default;

  /// Hands over a slab that nobody touches until `drain` has returned. Throws what an earlier one
  /// failed with.
  virtual void send(BucketLoad load) = 0;
  /// Hands over a gradient that travels by rows, likewise; `rows` outlives the sending.
  virtual void send_rows(RowReduction& rows, const at::Tensor& gradient) = 0;
  /// Hands over a collective of another kind, likewise: it gets the communicator when its turn has
  /// come, on the thread that sums. Returns its number for `wait_for`; 0: it is done, on a GPU
  /// ordered on the current stream.
  virtual std::int64_t call(std::function<void(Communicator&)> collective) = 0;
  /// Returns when the one of this number and all before it are done; throws what failed.
  virtual void wait_for(std::int64_t number) = 0;
  /// Waits until no more than `most` of what was handed over is left to do, but no longer than
  /// `limit`: who waits inside backward for good may wait for a rank that waits for it.
  virtual void ease(std::int64_t most, std::chrono::milliseconds limit) = 0;
  /// Returns when all that was handed over is summed; throws what failed.
  virtual void drain() = 0;
  /// Seconds spent in sums since construction. Not while something is under way.
  virtual double busy_seconds() const = 0;
  /// Bytes of gradients that travelled by rows since construction. Not while something is under
  /// way.
  virtual std::int64_t row_bytes() const = 0;
};

/// Sums within `send`, on the calling thread.
std::unique_ptr<BucketSender> make_blocking_sender(Communicator& communicator,
                                                   std::shared_ptr<GradientHook> hook = nullptr);

/// Sums on a thread of its own, while the caller computes on. Gives the same bits as the blocking
/// one. See Note [A helper that never spins] in helper_sender.cpp.
std::unique_ptr<BucketSender> make_helper_sender(Communicator& communicator,
                                                 std::shared_ptr<GradientHook> hook = nullptr);

/// Sums slabs on a GPU beside the work that computes, without blocking the host: `send` queues the
/// sum behind what the calling thread has queued on its current stream, `drain` makes the current
/// stream wait for all sums. The host only blocks where it reads what depends on them.
/// See Note [Sums beside backward on a GPU] in stream_sender.cpp.
///
/// `communicator` takes tensors on `device` and several started sums at once
/// (make_nccl_communicator does). A collective: sums one number there, so that what a communicator
/// sets up at its first tensor costs no step, and does not wait for other ranks inside backward.
/// `rounds_to`: the type that slabs travel as.
std::unique_ptr<BucketSender> make_stream_sender(Communicator& communicator, at::Device device,
                                                 std::optional<at::ScalarType> rounds_to = {});

/// Throws InputError where `hook`, which may be null, does not serve where the gradients lie.
void check_hook(const GradientHook* hook, const std::vector<NamedTensor>& active);

/// What sends on the thread that runs backward: on a GPU the stream sender, else the blocking one.
std::unique_ptr<BucketSender> make_sender(Communicator& communicator,
                                          const std::vector<NamedTensor>& active,
                                          const std::shared_ptr<GradientHook>& hook);

}  // namespace thaw
