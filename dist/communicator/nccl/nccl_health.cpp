#include "dist/communicator/nccl/nccl_health.h"

#include <utility>

namespace thaw {

void NcclHealth::fail(LocalFailure failure) {
  const std::lock_guard lock(mutex_);
  if (failed_) return;
  failure_ = std::move(failure);
  failed_.store(true, std::memory_order_release);
}

void NcclHealth::require_good() const {
  if (is_good()) return;
  const std::lock_guard lock(mutex_);
  if (failure_.status == ExitStatus::kDisagreement) throw DisagreementError(failure_.message);
  throw RunError(failure_.message);
}

}  // namespace thaw
