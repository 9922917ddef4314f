#pragma once

#include <ATen/core/Tensor.h>

#include <cstddef>
#include <span>
#include <vector>

#include "core/parallel/stage_coordinator.h"
#include "dist/reduction/bucket_map.h"

namespace thaw {

struct BucketEntry;

/// What the planner needs to know of `parameter`; throws InputError where its gradient cannot lie
/// in a bucket.
BucketEntry bucket_entry(const NamedParameter& parameter);

/// The memory of the buckets of one map: a slab each, on the device of its parameters.
///
/// Padding is zero and stays so. A slab lives as long as a `.grad` points into it.
class BucketSlabs {
 public:
  BucketSlabs(const BucketMap& map, std::span<const NamedParameter> active);

  /// All of one bucket, one dimension.
  const at::Tensor& slab(std::size_t bucket) const { return slabs_[bucket]; }

  /// The memory of a parameter's gradient, in the shape and strides that autograd gives it. Not a
  /// view of the slab for autograd, so that `Optimizer::zero_grad` may detach and zero it.
  const at::Tensor& gradient(std::size_t parameter) const { return gradients_[parameter]; }

  /// Sets this rank's flags (see BucketMap). There is at least one bucket.
  void write_flags(const std::vector<bool>& used, bool fault);
  /// The flags' sums once the last bucket is reduced: of each parameter, then of the fault.
  std::vector<double> read_flags() const;

 private:
  at::Tensor flags() const;

  const BucketMap& map_;
  std::vector<at::Tensor> slabs_;
  std::vector<at::Tensor> gradients_;
};

}  // namespace thaw
