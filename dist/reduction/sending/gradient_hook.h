#pragma once

#include <ATen/core/Tensor.h>

#include <cstddef>
#include <memory>
#include <optional>
#include <string>

#include "core/parallel/communicator.h"

namespace thaw {

/// How a bucket of gradients is summed over the ranks: a place for compression of one's own.
///
/// Buckets come in the same order on all ranks, one at a time; on the thread that runs backward or
/// on one beside it, never on both at once.
class GradientHook {
 public:
  virtual ~GradientHook() = default;

  /// Says what it is, options included: equal on all ranks, or they disagree at `activate`.
  virtual std::string name() const = 0;

  /// The type that gradients are rounded to on their way, where that is all that the hook does:
  /// sums on GPUs, which call no hook, do it by themselves. Nothing: it serves host memory alone.
  virtual std::optional<at::ScalarType> rounds_to() const { return std::nullopt; }

  /// A collective: replaces `gradients` (one dimension, contiguous, in host memory, this rank's
  /// part of the mean over all ranks' samples) by their sum over the ranks, the same bits on every
  /// rank. `bucket` is its place in the step; buckets are cut anew after a stage's first step and
  /// at `activate`.
  virtual void reduce(std::size_t bucket, at::Tensor& gradients, Communicator& communicator) = 0;
};

/// float32 and float64 gradients travel as bfloat16: half or a quarter of the bytes. What rounding
/// cuts off is kept and added to the next step's gradient (error feedback, Seide et al. 2014), so
/// that errors do not add up over steps.
std::shared_ptr<GradientHook> make_bfloat16_hook();

/// float32 and float64 gradients travel as bfloat16 and what rounding cuts off is lost: nothing is
/// kept from step to step, so a run that goes on from a checkpoint has the same bits.
std::shared_ptr<GradientHook> make_rounding_hook();

/// The sum as it is made without a hook; for hooks that send only some of the buckets in their way.
std::shared_ptr<GradientHook> make_plain_hook();

}  // namespace thaw
