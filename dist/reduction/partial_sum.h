#pragma once

#include <ATen/core/Tensor.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "core/parallel/stage_coordinator.h"
#include "dist/reduction/bucket_slabs.h"

namespace thaw {

/// A sum of gradients over some of a global batch's shards: each active parameter's in its place in
/// the slabs of a bucket map, and beside them how many shards used each parameter.
///
/// A parameter that no shard has used yet holds -0: x + (-0) is x for every x, zeros included, so
/// whether a shard counts is never seen in the bits of a sum. (0 would turn -0 into 0.)
class PartialSum {
 public:
  /// Gradients lie as `layout` says, which outlives it; their memory comes from `memory`.
  PartialSum(const BucketMap& layout, std::span<const NamedTensor> active, SlabMemory memory);

  /// All that is added up and travels, one dimension each: the counts (float64), then the
  /// slabs of gradients.
  std::span<at::Tensor> blocks() { return blocks_; }

  /// The memory of a parameter's gradient, in the shape and strides that autograd gives it.
  const at::Tensor& gradient(std::size_t parameter) const { return slabs_.gradient(parameter); }

  /// How many shards used each parameter, then how many faults were found, then how many shards had
  /// samples.
  std::span<double> counts();
  double& faults() { return counts()[layout_.parameters()]; }

  /// Begins with one shard, which used these parameters: their gradients are there.
  void start(const std::vector<bool>& used, bool has_samples);
  /// Counts one more shard, whose gradients were added.
  void count(const std::vector<bool>& used, bool has_samples);
  /// Adds another one's.
  void add(const PartialSum& other);

  /// Bytes of all blocks.
  std::int64_t bytes() const;

 private:
  const BucketMap& layout_;
  SlabMemory memory_;
  BucketSlabs slabs_;
  std::vector<at::Tensor> blocks_;
};

}  // namespace thaw
