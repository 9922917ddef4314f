#include "dist/communicator/nccl_watch.h"

#include <algorithm>

#include "dist/communicator/nccl_link.h"

namespace thaw {

NcclWatch::NcclWatch(std::chrono::milliseconds interval)
    : interval_(interval), thread_([this] { watch(); }) {}

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

bool NcclWatch::look() {
  const auto look_at_all = [this] {
    const auto now = NcclLink::Clock::now();
    bool busy = false;
    for (NcclLink* link : links_) busy |= link->check(now);
    return busy;
  };
  const bool was_good = health_.is_good();
  const bool busy = look_at_all();
  // A failure found just now concerns those that were looked at before it.
  return was_good && !health_.is_good() ? look_at_all() : busy;
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
