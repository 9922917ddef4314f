#include "dist/communicator/nccl/nccl_watch.h"

#include <utility>

#include "dist/communicator/nccl/nccl_link.h"

namespace thaw {

namespace {

constexpr int kFirstVersionWithGroupAbort = 22200;
constexpr std::chrono::seconds kPatience{10};

}  // namespace

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

NcclWatch::NcclWatch(std::shared_ptr<NcclApi> api, std::chrono::milliseconds interval)
    : api_(std::move(api)), interval_(interval), thread_([this] { watch(); }) {}

NcclWatch::~NcclWatch() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void NcclWatch::add(NcclLink& link) {
  const std::lock_guard lock(mutex_);
  links_.push_back(&link);
}

void NcclWatch::remove(NcclLink& link) {
  const std::lock_guard lock(mutex_);
  std::erase(links_, &link);
}

void NcclWatch::wake() {
  {
    const std::lock_guard lock(mutex_);
    if (awake_) return;
    awake_ = true;
  }
  changed_.notify_all();
}

void NcclWatch::give_up(LocalFailure failure) {
  health_.fail(std::move(failure));
  wake();
  std::unique_lock lock(mutex_);
  changed_.wait_for(lock, kPatience, [this] { return all_aborted_; });
}

bool NcclWatch::look() {
  const auto now = NcclLink::Clock::now();
  bool busy = false;
  for (NcclLink* link : links_) busy |= link->check(now);
  if (health_.is_good()) return busy;
  all_aborted_ = abort_all();
  changed_.notify_all();
  return !all_aborted_;
}

bool NcclWatch::abort_all() {
  std::vector<std::unique_lock<std::mutex>> locks;
  std::vector<NcclLink*> locked;
  std::size_t beside = 0;
  for (NcclLink* link : links_) {
    std::unique_lock lock(link->mutex_, std::try_to_lock);
    if (!lock.owns_lock()) {  // its owner is inside NCCL: the next time
      beside += link->abort_beside_call(NcclLink::Clock::now()) ? 1 : 0;
      continue;
    }
    locks.push_back(std::move(lock));
    locked.push_back(link);
  }
  const bool in_group = locked.size() > 1 && api_->version() >= kFirstVersionWithGroupAbort;
  if (in_group) api_->begin_group();
  for (NcclLink* link : locked) link->abort_locked();
  if (in_group) api_->end_group();
  return locked.size() + beside == links_.size();
}

void NcclWatch::watch() {
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    if (awake_) {
      changed_.wait_for(lock, interval_, [this] { return stopping_; });
      if (!stopping_) awake_ = look();
    } else {
      changed_.wait(lock, [this] { return stopping_ || awake_; });
    }
  }
}

}  // namespace thaw
