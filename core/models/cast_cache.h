#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace thaw {

/// A weight as autocast wants it, without casting a frozen one again in every forward.
///
/// Autocast keeps the casts of trainable leaves alone, and those only until its scope ends. One
/// instance belongs to one weight. Not thread-safe.
class CastCache {
 public:
  /// `weight` itself where autocast is off for its device or the weight is trainable (autocast then
  /// casts it, and autograd knows); else a copy in autocast's dtype, made once and again whenever
  /// the weight was written to or replaced.
  at::Tensor get(const at::Tensor& weight);

  void clear();

 private:
  at::Tensor source_;  ///< the weight that the copy was made from
  at::Tensor copy_;
  const void* storage_ = nullptr;
  std::int64_t version_ = -1;
};

}  // namespace thaw
