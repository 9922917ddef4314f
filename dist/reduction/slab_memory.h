#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

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

}  // namespace thaw
