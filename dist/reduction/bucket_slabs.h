#pragma once

#include <ATen/core/Tensor.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "core/parallel/stage_coordinator.h"
#include "dist/reduction/bucket_map.h"

namespace thaw {

/// Memory that the buckets of one bucket map after another lie in: one block for each element type
/// and device, so that a map that only moves gradients about finds its pages already touched (first
/// touch of 90 MB costs 80 ms).
class SlabMemory {
 public:
  /// `length` elements of `type` on `device`, uninitialised: the block that was there where it is
  /// long enough and not much longer, else a new one in its place. What an earlier call returned is
  /// not to be used any more.
  at::Tensor take(at::ScalarType type, at::Device device, std::int64_t length);

  /// Writes to all host memory that is there, so that its pages are this process's. What it held is
  /// lost.
  void touch();

 private:
  std::vector<at::Tensor> blocks_;
};

struct BucketEntry;

/// What the planner needs to know of `parameter`; throws InputError where its gradient cannot lie
/// in a bucket.
BucketEntry bucket_entry(const NamedTensor& parameter);
/// The same, also while the parameter is frozen.
BucketEntry describe_entry(const NamedTensor& parameter);

/// The memory of the buckets of one map: a slab each, on the device of its parameters.
///
/// Padding is zero and stays so. A slab lives as long as a `.grad` points into it.
class BucketSlabs {
 public:
  /// Takes its memory from `memory`, where slabs of an earlier map may have lain. `map` outlives
  /// it.
  BucketSlabs(const BucketMap& map, std::span<const NamedTensor> active, SlabMemory& memory);

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
  void lay_out(std::span<const NamedTensor> active, SlabMemory& memory);
  at::Tensor flags() const;

  const BucketMap& map_;
  std::vector<at::Tensor> slabs_;
  std::vector<at::Tensor> gradients_;
};

}  // namespace thaw
