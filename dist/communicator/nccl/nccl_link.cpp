#include "dist/communicator/nccl/nccl_link.h"

#include <fmt/format.h>

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
// - Every call is made with the lock held, and none of them waits: the communicators are
//   non-blocking. Where NCCL answers "in progress", the caller polls, and lets go of the lock
//   between two polls.
// - A failure is first written down (NcclHealth), then acted on: whoever takes the lock next finds
//   it and calls NCCL no more. The watch alone aborts; it takes the handle away in the same breath,
//   so that it happens once.
// - It aborts all communicators of the rank, in one group: the abort of one may free memory, which
//   waits for all kernels of the GPU, and so for those of the next, which wait to be aborted
//   (NCCL's issue 1013; groups of aborts exist from 2.22 on).
// - The watch only tries the locks. If a thread should hang inside NCCL in spite of all this (a
//   launch queue that is full, a broken driver), nothing is aborted beside it: the job's watchdog,
//   which needs neither NCCL nor MPI's collectives, ends the process.
// The failure is thrown by the next call on any communicator of the rank. Until then the host may
// go on for a moment with values that an aborted sum has left behind; it cannot get past the step,
// since each step ends in calls that throw.

constexpr std::chrono::microseconds kShortestPause{10};
constexpr std::chrono::microseconds kLongestWatchPause{1000};

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

void NcclLink::join(int ranks, const NcclId& id) {
  joining_since_ = Clock::now();
  const std::lock_guard lock(mutex_);
  health().require_good();
  const NcclStatus status = api_->init(comm_, ranks, id, settings_.rank);
  if (status == NcclStatus::kSuccess || status == NcclStatus::kInProgress) return;
  const std::string message = failure_text("joining the other ranks", status);
  if (is_misuse(status)) throw InputError(message);
  throw RunError(message);
}

bool NcclLink::joined() {
  const std::lock_guard lock(mutex_);
  health().require_good();
  const NcclStatus status = state_locked();
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

void NcclLink::call(const std::string& what, const Call& call) {
  const auto attempt = [&](const auto& body) {
    const std::lock_guard lock(mutex_);
    health().require_good();
    const NcclStatus status = body();
    const bool fine = status == NcclStatus::kSuccess || status == NcclStatus::kInProgress;
    return std::pair(status, fine ? std::string() : failure_text(what, status));
  };
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
  if (!lock.owns_lock()) return true;
  if (health().is_good()) {
    if (const std::optional<LocalFailure> failure = look_locked(now)) health().fail(*failure);
  }
  return !under_way_.empty();
}

bool NcclLink::finalize() {
  const auto attempt = [&](const auto& body) {
    const std::lock_guard lock(mutex_);
    return comm_ != nullptr ? body() : NcclStatus::kUnknown;
  };
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
