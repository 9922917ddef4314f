#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "core/parallel/agreement.h"
#include "dist/communicator/nccl/nccl_api.h"

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

class NcclLink;

/// Looks after the NCCL communicators of one rank, on a thread of its own: NCCL keeps no deadlines
/// and tells of errors only if asked, and a host that waits for the GPU (in a copy, say) asks
/// nobody. When one of them fails it aborts them all, which ends such waits. It alone aborts.
/// See Note [No thread inside NCCL].
///
/// Sleeps while nothing is under way.
class NcclWatch {
 public:
  /// `interval`: between two looks at what is under way.
  NcclWatch(std::shared_ptr<NcclApi> api, std::chrono::milliseconds interval);
  ~NcclWatch();
  NcclWatch(const NcclWatch&) = delete;
  NcclWatch& operator=(const NcclWatch&) = delete;

  NcclHealth& health() { return health_; }

  void add(NcclLink& link);
  /// When it returns, the watch is not looking at `link` and never will again.
  void remove(NcclLink& link);
  /// Something is under way. Not to be called while holding a link's lock.
  void wake();
  /// Has all communicators of the rank aborted, for this failure or an earlier one, and returns
  /// when that is done; or after some seconds, if a thread hangs inside NCCL. Never on the watch's
  /// thread, nor while holding a link's lock.
  void give_up(LocalFailure failure);

 private:
  void watch();
  /// Returns whether there is still something to look at.
  bool look();
  /// Returns whether all are gone.
  bool abort_all();

  const std::shared_ptr<NcclApi> api_;
  const std::chrono::milliseconds interval_;
  NcclHealth health_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<NcclLink*> links_;
  bool awake_ = false;
  bool all_aborted_ = false;
  bool stopping_ = false;
  std::thread thread_;  ///< last: starts when all else is there
};

}  // namespace thaw
