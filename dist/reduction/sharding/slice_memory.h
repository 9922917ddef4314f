#pragma once

#include <ATen/core/Tensor.h>

#include <cstddef>
#include <mutex>
#include <optional>
#include <span>
#include <vector>

#include "core/parallel/stage_coordinator.h"
#include "dist/reduction/bucket_map.h"
#include "dist/reduction/bucket_slabs.h"
#include "dist/reduction/sharding/slice_plan.h"

namespace thaw {

// Note [Gradients that are gone]
// With `sharding = "gradients"` whole gradients exist for as long as a bucket is filled and summed:
// a bucket takes a slab when its first gradient comes, and gives it to the next one when this
// rank's slice of the sum has been copied out of it. Of several micro-batches all but the last only
// add to what there is, so in such a step the gradients are whole until the last backward. Slabs
// that nobody takes are given back to the system when the step ends, but for a few.

/// The memory of a bucket map's gradients, and of this rank's slices of their sums.
///
/// Belongs to the thread that runs backward, but for `keep_slice`, and but for `slab`, `let_go` and
/// `trim` where it does nothing to the same bucket meanwhile.
class SliceMemory {
 public:
  /// `stays`: a slab is each bucket's for good, out of `memory`, and holds the slice too. Refers to
  /// what it is given.
  SliceMemory(const BucketMap& map, const SlicePlan& plan, int rank,
              std::span<const NamedTensor> active, bool stays, SlabMemory memory);

  /// A dense bucket's gradients, without flags; takes memory for them where they have none.
  at::Tensor slab(std::size_t bucket);
  /// Where a parameter's gradient belongs in its slab, shaped like it; undefined for one that
  /// travels by rows. The same tensor until the slab is given away.
  const at::Tensor& place(std::size_t parameter);

  /// A bucket leaves: no gradient may lie in its slab any longer, unless it stays.
  void forget_places(std::size_t bucket);
  /// The sum of this rank's slice stands in the bucket's slab: keeps it, and lets go of the slab
  /// unless it stays. Any thread.
  void keep_slice(std::size_t bucket);
  /// The same of a gradient that travelled by rows.
  void keep_rows(std::size_t bucket, const at::Tensor& gradient);
  /// Lets go of a slab whose content is of no use, unless it stays.
  void let_go(std::size_t bucket);
  /// Gives slabs that nobody takes back to the system, but for a few.
  void trim();

  /// This rank's slice of the sum of a bucket.
  const at::Tensor& slice(std::size_t bucket) const { return slices_[bucket]; }
  /// Of gradients, whole ones and slices, that are held now; for tests and reports.
  std::int64_t bytes() const;

 private:
  at::Tensor take(std::size_t bucket);
  void give(std::size_t bucket);

  const BucketMap& map_;
  const SlicePlan& plan_;
  const std::size_t rank_;
  const std::vector<NamedTensor> active_;
  SlabMemory memory_;
  std::optional<BucketSlabs> staying_;
  mutable std::mutex mutex_;        ///< of `slabs_` and `free_`
  std::vector<at::Tensor> slabs_;   ///< of each bucket; undefined where it has none
  std::vector<at::Tensor> places_;  ///< of each parameter; likewise
  std::vector<at::Tensor> free_;
  std::vector<at::Tensor> slices_;
};

}  // namespace thaw
