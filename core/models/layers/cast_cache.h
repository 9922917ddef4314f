#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/ScalarType.h>

#include <cstdint>

namespace thaw {

/// A weight in the type that a layer computes in, without casting a frozen one again in every
/// forward (autocast would: it keeps the casts of trainable weights alone). One instance belongs to
/// one weight. Not thread-safe.
class CastCache {
 public:
  /// `weight` itself where it has the type already; a cast that autograd knows of where it is
  /// trainable; else a copy, made once and again whenever the weight was written to or replaced.
  at::Tensor get(const at::Tensor& weight, at::ScalarType dtype);

  void clear();

 private:
  at::Tensor copy_;
  const void* source_ = nullptr;  ///< the weight's data when the copy was made
  std::int64_t version_ = -1;     ///< and its count of writes
};

}  // namespace thaw
