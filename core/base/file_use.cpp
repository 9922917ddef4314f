#include "core/base/file_use.h"

#include <algorithm>
#include <atomic>
#include <mutex>

namespace thaw {
namespace {

struct ThreadUse;

/// Of all threads that have used files. Lives for ever: threads may end after static objects.
struct Threads {
  std::mutex mutex;
  std::vector<ThreadUse*> all;
};
Threads& threads() {
  static auto* const instance = new Threads;
  return *instance;
}

/// What one thread is at.
struct ThreadUse {
  ThreadUse() {
    const std::lock_guard lock(threads().mutex);
    threads().all.push_back(this);
  }
  ~ThreadUse() {
    const std::lock_guard lock(threads().mutex);
    std::erase(threads().all, this);
  }
  ThreadUse(const ThreadUse&) = delete;
  ThreadUse& operator=(const ThreadUse&) = delete;

  std::mutex mutex;
  std::uint64_t number = 0;  ///< 0: nothing
  const char* action = "";
  std::string_view path;
};

ThreadUse& own() {
  thread_local ThreadUse use;
  return use;
}

std::atomic<std::uint64_t> last_number{0};

}  // namespace

FileUse::FileUse(const char* action, std::string_view path) {
  ThreadUse& use = own();
  const std::lock_guard lock(use.mutex);
  outer_number_ = use.number;
  outer_action_ = use.action;
  outer_path_ = use.path;
  use.number = ++last_number;
  use.action = action;
  use.path = path;
}

FileUse::~FileUse() {
  ThreadUse& use = own();
  const std::lock_guard lock(use.mutex);
  use.number = outer_number_;
  use.action = outer_action_;
  use.path = outer_path_;
}

std::vector<FileUse::Seen> FileUse::all() {
  std::vector<Seen> seen;
  const std::lock_guard lock(threads().mutex);
  for (ThreadUse* use : threads().all) {
    const std::lock_guard one(use->mutex);
    if (use->number != 0) seen.push_back({use->number, use->action, std::string(use->path)});
  }
  return seen;
}

}  // namespace thaw
