#pragma once

#include <ATen/core/Tensor.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "core/parallel/slices.h"

namespace thaw {

/// An active parameter as a rank sees it that updates a slice of it alone.
struct ParameterSlice {
  std::string name;
  Cuts cuts;  ///< of the parameter's elements, as all ranks have them
  /// This rank's elements, one dimension, maybe none, in the parameter's own memory. What an
  /// optimizer is given in the parameter's place.
  at::Tensor part;
};

// Note [Sharded state]
// Every rank holds all weights and computes all gradients of its samples. But the sum of each
// gradient lands on one rank alone, the owner of its slice (Note [Slices]); that rank alone has the
// optimizer's state for it and updates it; then the owners give all ranks what has become of their
// slices. So the state, which is twice the weights with AdamW, is there once over all ranks, and
// so are the sums of gradients where `distributed.sharding` is "gradients". What is given to the
// optimizer are tensors of one dimension that lie in the parameters' own memory, each with the
// slice of the gradient as its `.grad`: an update that goes by elements does the same to them as to
// the whole, to the bit.

/// The 2-norm over all of `tensors` together, a scalar where they are; undefined where there are
/// none. What gradients are clipped by, whoever has them.
at::Tensor joint_norm(const std::vector<at::Tensor>& tensors);

/// What a reducer that shards offers beside sums: the slices of the stage. Belongs to the thread
/// that trains, as its reducer does; all ranks make the same calls.
class ShardedState {
 public:
  virtual ~ShardedState() = default;

  /// Of each active parameter, in their order. After the reducer's `finish`, until
  /// `share_updates` or the next `begin`, a part's `.grad` is this rank's slice of the mean over
  /// the global batch, undefined where no rank got a gradient; the parameters' own are undefined.
  virtual std::span<const ParameterSlice> slices() const = 0;

  /// A collective, after `finish`: the 2-norm over the gradients of those active parameters (by
  /// their places), in whole; a scalar where they lie, the same on all ranks but where it is
  /// undefined. Rank 0's counts.
  virtual at::Tensor gradient_norm(std::span<const std::size_t> parameters) = 0;

  /// A collective, after the update: every rank gets what the others have made of their slices.
  /// Blocks the host for tensors in host memory; on a GPU it is ordered on the current stream.
  virtual void share_updates() = 0;
};

}  // namespace thaw
