#pragma once

#include <ATen/core/Tensor.h>

#include <cstddef>
#include <span>
#include <vector>

#include "core/parallel/stage_coordinator.h"
#include "dist/reduction/bucket_map.h"
#include "dist/reduction/slab_memory.h"

namespace thaw {

struct BucketEntry;

/// What the planner needs to know of `parameter`; throws InputError where its gradient cannot lie
/// in a bucket.
BucketEntry bucket_entry(const NamedParameter& parameter);
/// The same, also while the parameter is frozen.
BucketEntry describe_entry(const NamedParameter& parameter);

/// The memory of the buckets of one map: a slab each, on the device of its parameters.
///
/// Padding is zero and stays so. A slab lives as long as a `.grad` points into it.
class BucketSlabs {
 public:
  /// Takes its memory from `memory`, where slabs of an earlier map may have lain. `map` outlives
  /// it.
  BucketSlabs(const BucketMap& map, std::span<const NamedParameter> active, SlabMemory& memory);

  /// All of one bucket, one dimension.
  const at::Tensor& slab(std::size_t bucket) const { return slabs_[bucket]; }

  /// The memory of a parameter's gradient, in the shape and strides that autograd gives it. Not a
  /// view of the slab for autograd, so that `Optimizer::zero_grad` may detach and zero it.
  /// Undefined for one that travels by rows.
  const at::Tensor& gradient(std::size_t parameter) const { return gradients_[parameter]; }

  /// Sets this rank's flags (see BucketMap): whether it used each parameter, has a fault, and took
  /// part with samples. There is at least one bucket.
  void write_flags(const std::vector<bool>& used, bool fault, bool took_part);
  /// The flags' sums once the last bucket is reduced, in the same order.
  std::vector<double> read_flags() const;

 private:
  /// Gives each dense bucket its piece of `memory`.
  void lay_out(std::span<const NamedParameter> active, SlabMemory& memory);
  at::Tensor flags() const;

  const BucketMap& map_;
  std::vector<at::Tensor> slabs_;
  std::vector<at::Tensor> gradients_;
};

}  // namespace thaw
