#pragma once

#include <ATen/core/Tensor.h>

#include <cstddef>
#include <span>
#include <vector>

#include "core/parallel/communicator.h"
#include "core/parallel/sharded_state.h"
#include "core/parallel/stage_coordinator.h"
#include "dist/reduction/bucket_map.h"
#include "dist/reduction/sharding/slice_plan.h"

namespace thaw {

/// The active parameters as one rank updates them: its slice of each, where its gradient comes
/// from, and how the others get what it made of it. Refers to what it is given.
class SlicedParameters {
 public:
  SlicedParameters(const BucketMap& map, const SlicePlan& plan, int rank,
                   std::span<const NamedTensor> active);

  std::span<const ParameterSlice> slices() const { return slices_; }

  /// Makes this rank's slice of a parameter's gradient, which lies in `slice`, the sum of its
  /// bucket's, the `.grad` of the part.
  void hand_out(std::size_t parameter, const at::Tensor& slice);
  /// No part has a gradient afterwards.
  void drop_gradients();
  /// Of these parameters' parts, those that are defined.
  std::vector<at::Tensor> gradients(std::span<const std::size_t> parameters) const;

  /// A collective: gives all ranks the parameters of a bucket as their owners have them. `slab`
  /// holds the bucket, by whose layout they travel; undefined for one of a single parameter, which
  /// travels out of its own memory. `beside`: on a thread beside one that computes, so that copies
  /// in host memory start no team of threads.
  void share(std::size_t bucket, const at::Tensor& slab, Communicator& communicator,
             bool beside = false);
  /// Whether `share` takes a slab for it.
  bool needs_slab(std::size_t bucket) const { return map_.buckets()[bucket].slots.size() > 1; }

 private:
  const BucketMap& map_;
  const SlicePlan& plan_;
  const std::size_t rank_;
  const std::vector<NamedTensor> active_;
  std::vector<ParameterSlice> slices_;
};

/// Throws InputError, naming it, where a parameter cannot be cut into slices: one whose gradient
/// travels as another type, or that does not lie in row-major order.
void refuse_what_cannot_be_cut(std::span<const NamedTensor> active);

/// A collective: the 2-norm over what each rank has of some gradients, a scalar where they lie, the
/// same on all ranks. `device`: where that is if this rank has none.
at::Tensor norm_over_slices(const std::vector<at::Tensor>& gradients, at::Device device,
                            Communicator& communicator);

}  // namespace thaw
