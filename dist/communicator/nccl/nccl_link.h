#pragma once

#include <atomic>
#include <chrono>
#include <deque>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "dist/communicator/gpu_stream.h"
#include "dist/communicator/nccl/nccl_api.h"
#include "dist/communicator/nccl/nccl_watch.h"

namespace thaw {

/// One communicator of NCCL with its stream, and everything that makes calling it safe: waiting for
/// calls in progress, deadlines, errors, and the abort. See Note [No thread inside NCCL].
///
/// It belongs to one thread at a time, its owner's; `check` alone is for the watch's.
class NcclLink {
 public:
  using Clock = std::chrono::steady_clock;
  using Call = std::function<NcclStatus(NcclApi&, ncclComm*)>;

  struct Settings {
    std::chrono::milliseconds deadline;  ///< of a call in progress and of each thing queued
    std::chrono::milliseconds patience;  ///< with a call that does not return, after its deadline
    int rank = 0;
    std::string host;  ///< for messages
  };

  NcclLink(std::shared_ptr<NcclApi> api, std::shared_ptr<GpuStream> stream,
           std::shared_ptr<NcclWatch> watch, Settings settings);
  /// Ends the communicator in order, together with the other ranks. Where it has failed or an
  /// exception unwinds, the others may be elsewhere: all of the rank's are aborted.
  ~NcclLink();
  NcclLink(const NcclLink&) = delete;
  NcclLink& operator=(const NcclLink&) = delete;

  /// Starts to join the ranks that use `id`; `joined` says whether that is done. Both throw
  /// InputError where NCCL cannot be used like this, RunError for other failures, and
  /// DisagreementError when the deadline has passed.
  void join(int ranks, const NcclId& id);
  bool joined();

  /// Makes one call on the communicator, and returns when it has taken effect: what it queues on
  /// the stream is queued. `what` names it in messages. Throws the failure of this or any other
  /// NCCL communicator of the rank.
  void call(const std::string& what, const Call& call);
  /// Watches over what was queued until `end`: past its deadline, or if NCCL reports an error
  /// meanwhile, the rank's communicators are aborted.
  void track(std::string what, std::shared_ptr<const GpuEvent> end);

  GpuStream& stream() { return *stream_; }
  NcclHealth& health() { return watch_->health(); }

  /// One look, on the watch's thread, which tells the health of what it finds. Returns whether
  /// there is something to look at again.
  bool check(Clock::time_point now);

 private:
  struct Operation {
    std::string what;
    std::shared_ptr<const GpuEvent> end;
    Clock::time_point since;  ///< when the GPU could begin with it
  };

  /// The state of the call in progress. With the lock.
  NcclStatus state_locked();
  std::string failure_text(const std::string& what, NcclStatus status);
  std::string late_text(const std::string& what) const;
  /// Removes what has ended and says what is wrong with the rest, if anything. With the lock.
  std::optional<LocalFailure> look_locked(Clock::time_point now);
  [[noreturn]] void fail(ExitStatus status, const std::string& message);
  /// For the watch alone. With the lock.
  friend class NcclWatch;
  void abort_locked() noexcept;
  /// Likewise, without: where the owner has been inside one call past the deadline, aborts beside
  /// it. Returns whether there is nothing left to abort.
  bool abort_beside_call(Clock::time_point now) noexcept;
  bool overdue(Clock::time_point now) const;
  /// Makes one call of NCCL, and finds out whether the watch has aborted beside it. With the lock.
  NcclStatus inside(const std::function<NcclStatus()>& body);
  void close();
  /// Returns whether the communicator has ended in order.
  bool finalize();

  const std::shared_ptr<NcclApi> api_;
  const std::shared_ptr<GpuStream> stream_;
  const std::shared_ptr<NcclWatch> watch_;
  const Settings settings_;
  const int unwinding_ = std::uncaught_exceptions();
  Clock::time_point joining_since_;

  class CallUnderWay;
  struct Joining;
  std::shared_ptr<Joining> joining_;  ///< null once it is over

  std::mutex mutex_;  ///< held during each call of NCCL, not while waiting between two
  std::atomic<Clock::rep> inside_since_ = 0;  ///< of the call under way; 0: none
  std::atomic<bool> aborted_beside_ = false;  ///< by the watch, while the owner was in a call
  ncclComm* comm_ = nullptr;
  std::deque<Operation> under_way_;  ///< in the order of the stream
};

}  // namespace thaw
