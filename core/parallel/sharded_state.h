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

// Note [Updates on their way]
// Who needs an updated parameter first is the next forward, group by group from the input on. So
// updates travel by bucket, those of the input first, beside what comes after the optimizer's step,
// and each group's are waited for before it runs; the reducer waits for a bucket's before it puts
// gradients where they travel, and for all of them in `finish`. That is for the trainer alone, who
// knows what comes next: it waits for all where anything else than another step does (an
// evaluation, an audit, a checkpoint, a transition, an observer or a program's `after_step`), and
// before forward where the model does not say that its groups read their own parameters alone
// (Model::groups_read_their_own), as a program's own module cannot. `share_updates` waits.

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
  void share_updates() {
    if (start_sharing_updates()) wait_for_updates();
  }
  /// The same, but that some of it may still be under way afterwards (Note [Updates on their way]):
  /// then it returns true, and nobody reads or writes an active parameter before
  /// `wait_for_updates`.
  virtual bool start_sharing_updates() = 0;
  /// Returns when all active parameters are what their owners have made of them.
  virtual void wait_for_updates() = 0;
  /// The same of some of them, by their places.
  virtual void wait_for_updates(std::span<const std::size_t> parameters) = 0;
};

}  // namespace thaw
