#pragma once

#include <ATen/core/Tensor.h>

#include <cstddef>

namespace thaw {

struct Batch;

/// Outputs of a model's first groups, which are frozen, for samples of one split, without running
/// them.
class PrefixSource {
 public:
  virtual ~PrefixSource() = default;
  /// How many groups need not be run.
  virtual std::size_t boundary() const = 0;
  /// What group `boundary() - 1` returns for `batch`, as one forward takes it, on the host. Belongs
  /// to the training thread. Throws `Error`.
  virtual at::Tensor hidden(const Batch& batch) const = 0;
};

}  // namespace thaw
