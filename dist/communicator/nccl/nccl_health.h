#pragma once

#include <atomic>
#include <mutex>

#include "core/parallel/agreement.h"

namespace thaw {

/// Whether the NCCL communicators of a rank still work. The first failure of one is that of all:
/// what they compute for has no use for the others any more. Any thread.
class NcclHealth {
 public:
  bool is_good() const noexcept { return !failed_.load(std::memory_order_acquire); }
  /// Only the first failure counts.
  void fail(LocalFailure failure);
  /// Throws the failure: DisagreementError where a rank does not answer, else RunError.
  void require_good() const;

 private:
  std::atomic<bool> failed_ = false;
  mutable std::mutex mutex_;
  LocalFailure failure_;
};

}  // namespace thaw
