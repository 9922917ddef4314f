#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "core/parallel/communicator.h"
#include "core/parallel/sharded_state.h"
#include "core/parallel/sum_tree.h"
#include "dist/reduction/bucket_map.h"
#include "dist/reduction/partial_sum.h"
#include "dist/reduction/sharding/slice_plan.h"
#include "dist/reduction/sharding/sliced_parameters.h"

namespace thaw {

class StepMonitor;

// Note [The tree ends at the owner]
// Which rank computes a node of the canonical sum changes no bits (Note [One expression]).
// Unsharded, the root is rank 0's, which tells the others. Sharded, each rank is the root for its
// slice: the others send it the slice of what they have computed alone, and it evaluates the rest
// of the expression. A norm over all gradients, though, has bits that depend on how a tensor is
// cut, so where one is asked for, slices are brought together on rank 0, which takes the norm of
// whole tensors as it would without sharding. Gradients are added up over a rank's shards, so each
// rank holds whole partial sums between them: "gradients" saves no memory beside "optimizer" here.

/// The end of a canonical sum whose result the ranks share out. Belongs to a CanonicalReducer.
class CanonicalSlices final : public ShardedState {
 public:
  /// Refers to all it is given. `sums`: by slot; the first has room for what is handed out.
  CanonicalSlices(Communicator& communicator, const BucketMap& layout, SlicePlan plan,
                  std::span<const NamedTensor> active, std::int64_t shards,
                  std::vector<PartialSum>& sums, StepMonitor* monitor);

  /// A collective, once each rank has computed its shards: brings each slice to its owner, and the
  /// counts to all, in the first of the sums.
  void exchange();
  /// Gives the parts of those parameters that were used their gradients.
  void hand_out();
  /// A step begins: no part has a gradient.
  void begin() { slices_.drop_gradients(); }

  std::span<const ParameterSlice> slices() const override { return slices_.slices(); }
  at::Tensor gradient_norm(std::span<const std::size_t> parameters) override;
  /// Waits: what is canonical overlaps nothing.
  bool start_sharing_updates() override;
  void wait_for_updates() override {}
  void wait_for_updates(std::span<const std::size_t>) override {}

 private:
  at::Tensor part_of(std::size_t part, std::size_t block, std::int64_t first,
                     std::int64_t last) const;
  /// A collective: what is in the slice of `owner` between these places goes there and is summed.
  void sum_piece(int owner, std::size_t block, std::int64_t first, std::int64_t last);
  void sum_counts();
  /// A collective: the first sum of rank 0 is whole afterwards.
  void bring_together();

  Communicator& communicator_;
  const BucketMap& layout_;
  const SlicePlan plan_;
  const std::vector<NamedTensor> active_;
  const SumExpression expression_;
  std::vector<PartialSum>& sums_;
  StepMonitor* const monitor_;
  SlicedParameters slices_;
  std::vector<at::Tensor> buffers_;  ///< of each part that is another rank's
  bool together_ = false;
};

}  // namespace thaw
