#include "dist/communicator/nccl/nccl_link.h"

#include <fmt/format.h>
#include <signal.h>

#include <algorithm>
#include <cstdio>
#include <optional>
#include <thread>
#include <tuple>
#include <utility>

#include "core/base/error.h"

namespace thaw {

namespace {

// Note [No thread inside NCCL]
// NCCL keeps no deadline: if a rank is lost, the others' GPUs wait in a kernel for ever, and so
// does whatever host thread waits for its GPU. The only way out is ncclCommAbort, from a thread
// that does not wait, and NCCL allows it only while no other thread is inside a call on that
// communicator. So:
// - Every call is made with the lock held. Communicators block: a sum is then queued when its call
//   returns, where a non-blocking one answers "in progress" and has to be asked again, with a pause
//   before, inside backward. What would block for other ranks does so elsewhere: joining, on a
//   thread of its own; connecting, in a first sum that make_stream_sender makes outside of
//   backward. "In progress" is understood all the same.
// - A failure is first written down (NcclHealth), then acted on: whoever takes the lock next finds
//   it and calls NCCL no more. The watch alone aborts; it takes the handle away in the same breath,
//   so that it happens once.
// - It aborts all communicators of the rank, in one group: the abort of one may free memory, which
//   waits for all kernels of the GPU, and so for those of the next, which wait to be aborted
//   (NCCL's issue 1013; groups of aborts exist from 2.22 on).
// - The watch only tries the locks. Where a thread stays inside one call past the deadline (a peer
//   that does not connect, a launch queue that is full), it aborts beside that call in the end:
//   NCCL's waits look at the flag that an abort raises first, and the process has nothing to lose.
//   If even that hangs, the job's watchdog, which needs neither NCCL nor MPI's collectives, ends
//   the process.
// The failure is thrown by the next call on any communicator of the rank. Until then the host may
// go on for a moment with values that an aborted sum has left behind; it cannot get past the step,
// since each step ends in calls that throw.

constexpr std::chrono::microseconds kShortestPause{10};
constexpr std::chrono::microseconds kLongestWatchPause{1000};
constexpr std::chrono::seconds kLastWait{1};

/// Sleeps a little longer each time.
class Pauses {
 public:
  void pause() {
    std::this_thread::sleep_for(pause_);
    pause_ = std::min(pause_ * 2, kLongestWatchPause);
  }

 private:
  std::chrono::microseconds pause_ = kShortestPause;
};

bool is_misuse(NcclStatus status) {
  return status == NcclStatus::kInvalidUsage || status == NcclStatus::kInvalidArgument;
}

}  // namespace

NcclLink::NcclLink(std::shared_ptr<NcclApi> api, std::shared_ptr<GpuStream> stream,
                   std::shared_ptr<NcclWatch> watch, Settings settings)
    : api_(std::move(api)),
      stream_(std::move(stream)),
      watch_(std::move(watch)),
      settings_(std::move(settings)) {
  watch_->add(*this);
}

NcclLink::~NcclLink() {
  try {
    close();
  } catch (const std::exception& error) {
    std::fprintf(stderr, "thaw: closing an NCCL communicator: %s\n", error.what());
  }
  watch_->remove(*this);
}

std::string NcclLink::failure_text(const std::string& what, NcclStatus status) {
  const std::string words = api_->last_error(comm_);
  return fmt::format("NCCL on rank {} (host {}, {}): {} failed: {}{}{}", settings_.rank,
                     settings_.host, stream_->device(), what, nccl_status_text(status),
                     words.empty() ? "" : ": ", words);
}

std::string NcclLink::late_text(const std::string& what) const {
  return fmt::format(
      "NCCL on rank {} (host {}, {}): {} did not end within {:g} s: another rank does not take "
      "part "
      "in it, or hangs",
      settings_.rank, settings_.host, stream_->device(), what,
      std::chrono::duration<double>(settings_.deadline).count());
}

/// What the thread that joins leaves behind; it may outlive the link, if NCCL never returns.
struct NcclLink::Joining {
  ncclComm* comm = nullptr;
  NcclStatus status = NcclStatus::kUnknown;
  std::atomic<bool> begun = false;
  std::atomic<bool> done = false;  ///< the two first are there
};

void NcclLink::join(int ranks, const NcclId& id) {
  joining_since_ = Clock::now();
  health().require_good();
  joining_ = std::make_shared<Joining>();
  sigset_t all, before;
  sigfillset(&all);  // signals are for the threads that know what to do with them
  pthread_sigmask(SIG_SETMASK, &all, &before);
  std::thread([api = api_, joining = joining_, ranks, id, rank = settings_.rank] {
    joining->begun.store(true, std::memory_order_release);
    joining->status = api->init(joining->comm, ranks, id, rank);
    joining->done.store(true, std::memory_order_release);
  }).detach();
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

bool NcclLink::joined() {
  const std::lock_guard lock(mutex_);
  health().require_good();
  NcclStatus status = NcclStatus::kInProgress;
  if (joining_ == nullptr) {
    status = state_locked();
  } else if (joining_->done.load(std::memory_order_acquire)) {
    comm_ = joining_->comm;
    status = joining_->status;
    joining_.reset();
  } else if (!joining_->begun.load(std::memory_order_acquire)) {
    joining_since_ = Clock::now();  // the time that a busy host takes to start a thread is its own
  }
  if (status == NcclStatus::kSuccess) return true;
  if (status != NcclStatus::kInProgress) {
    const std::string message = failure_text("joining the other ranks", status);
    if (is_misuse(status)) throw InputError(message);
    throw RunError(message);
  }
  if (Clock::now() - joining_since_ > settings_.deadline) {
    throw DisagreementError(late_text("joining the other ranks"));
  }
  return false;
}

NcclStatus NcclLink::state_locked() {
  NcclStatus state = NcclStatus::kUnknown;
  const NcclStatus asked = api_->state(comm_, state);
  return asked == NcclStatus::kSuccess ? state : asked;
}

void NcclLink::fail(ExitStatus status, const std::string& message) {
  watch_->give_up({status, message});
  health().require_good();
  std::terminate();  // it has just been told of a failure
}

/// A call is about to be made: the watch looks after it until this ends.
class NcclLink::CallUnderWay {
 public:
  explicit CallUnderWay(NcclLink& link) : link_(link) {
    link_.inside_since_.store(Clock::now().time_since_epoch().count(), std::memory_order_release);
    link_.watch_->wake();
  }
  ~CallUnderWay() { link_.inside_since_.store(0, std::memory_order_release); }
  CallUnderWay(const CallUnderWay&) = delete;
  CallUnderWay& operator=(const CallUnderWay&) = delete;

 private:
  NcclLink& link_;
};

void NcclLink::call(const std::string& what, const Call& call) {
  const auto attempt = [&](const auto& body) {
    const std::lock_guard lock(mutex_);
    health().require_good();
    const NcclStatus status = inside(body);
    const bool fine = status == NcclStatus::kSuccess || status == NcclStatus::kInProgress;
    return std::pair(status, fine ? std::string() : failure_text(what, status));
  };
  const CallUnderWay under_way(*this);
  const Clock::time_point begun = Clock::now();
  auto [status, complaint] = attempt([&] { return call(*api_, comm_); });
  for (Pauses pauses; status == NcclStatus::kInProgress; pauses.pause()) {
    std::tie(status, complaint) = attempt([&] { return state_locked(); });
    if (status == NcclStatus::kInProgress && Clock::now() - begun > settings_.deadline) {
      fail(ExitStatus::kDisagreement, late_text(what));
    }
  }
  if (status != NcclStatus::kSuccess) fail(ExitStatus::kFailed, complaint);
}

NcclStatus NcclLink::inside(const std::function<NcclStatus()>& body) {
  const NcclStatus status = body();
  if (aborted_beside_.load(std::memory_order_acquire)) {
    comm_ = nullptr;
    under_way_.clear();
    health().require_good();
  }
  return status;
}

bool NcclLink::overdue(Clock::time_point now) const {
  const Clock::rep since = inside_since_.load(std::memory_order_acquire);
  return since != 0 &&
         now - Clock::time_point(Clock::duration(since)) > settings_.deadline + settings_.patience;
}

bool NcclLink::abort_beside_call(Clock::time_point now) noexcept {
  if (!overdue(now)) return false;
  // The owner does not touch the handle until its call returns, which is what this is for.
  if (!aborted_beside_.exchange(true) && comm_ != nullptr) api_->abort(comm_);
  return true;
}

void NcclLink::track(std::string what, std::shared_ptr<const GpuEvent> end) {
  {
    const std::lock_guard lock(mutex_);
    under_way_.push_back({std::move(what), std::move(end), Clock::now()});
  }
  watch_->wake();
}

void NcclLink::abort_locked() noexcept {
  under_way_.clear();
  ncclComm* const comm = std::exchange(comm_, nullptr);
  if (comm == nullptr) return;
  const NcclStatus status = api_->abort(comm);
  if (status != NcclStatus::kSuccess && status != NcclStatus::kInProgress) {
    const std::string_view text = nccl_status_text(status);
    std::fprintf(stderr, "thaw: aborting an NCCL communicator failed: %.*s\n",
                 static_cast<int>(text.size()), text.data());
  }
}

std::optional<LocalFailure> NcclLink::look_locked(Clock::time_point now) {
  try {
    while (!under_way_.empty() && under_way_.front().end->done()) {
      under_way_.pop_front();
      if (!under_way_.empty()) under_way_.front().since = std::max(under_way_.front().since, now);
    }
  } catch (const std::exception& error) {
    return failure_of(error);
  }
  if (under_way_.empty()) return {};
  const Operation& oldest = under_way_.front();
  const NcclStatus status = state_locked();
  if (status != NcclStatus::kSuccess && status != NcclStatus::kInProgress) {
    return LocalFailure{ExitStatus::kFailed, failure_text(oldest.what, status)};
  }
  if (now - oldest.since > settings_.deadline) {
    return LocalFailure{ExitStatus::kDisagreement, late_text(oldest.what)};
  }
  return {};
}

bool NcclLink::check(Clock::time_point now) {
  const std::unique_lock lock(mutex_, std::try_to_lock);
  if (!lock.owns_lock()) {
    if (overdue(now)) health().fail({ExitStatus::kDisagreement, late_text("a call of NCCL")});
    return true;
  }
  if (health().is_good()) {
    if (const std::optional<LocalFailure> failure = look_locked(now)) health().fail(*failure);
  }
  return !under_way_.empty() || inside_since_.load(std::memory_order_acquire) != 0;
}

bool NcclLink::finalize() {
  const auto attempt = [&](const auto& body) {
    const std::lock_guard lock(mutex_);
    return comm_ != nullptr ? inside(body) : NcclStatus::kUnknown;
  };
  const CallUnderWay under_way(*this);
  const Clock::time_point begun = Clock::now();
  NcclStatus status = attempt([&] { return api_->finalize(comm_); });
  for (Pauses pauses; status == NcclStatus::kInProgress; pauses.pause()) {
    if (Clock::now() - begun > settings_.deadline) break;
    status = attempt([&] { return state_locked(); });
  }
  const std::lock_guard lock(mutex_);
  if (status == NcclStatus::kSuccess && comm_ != nullptr) {
    api_->destroy(std::exchange(comm_, nullptr));
    return true;
  }
  const std::string message = status == NcclStatus::kInProgress
                                  ? late_text("closing the communicator")
                                  : failure_text("closing the communicator", status);
  std::fprintf(stderr, "thaw: %s\n", message.c_str());
  return false;
}

void NcclLink::close() {
  // Of a thread that is about to come back from joining the handle is to be aborted; one that waits
  // inside NCCL for ranks that have given up has none yet, and ends with the process.
  const Clock::time_point begun = Clock::now();
  while (joining_ != nullptr && Clock::now() - begun < kLastWait) {
    if (joining_->done.load(std::memory_order_acquire)) {
      const std::lock_guard lock(mutex_);
      comm_ = joining_->comm;
      joining_.reset();
    } else {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  }
  const auto is_open = [this] {
    const std::lock_guard lock(mutex_);
    return comm_ != nullptr;
  };
  if (!is_open()) return;
  const bool in_order = health().is_good() && std::uncaught_exceptions() <= unwinding_;
  if (in_order && finalize()) return;
  watch_->give_up({ExitStatus::kFailed, "an error has ended the NCCL communicators"});
}

}  // namespace thaw
