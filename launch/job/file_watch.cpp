#include "launch/job/file_watch.h"

#include <fmt/format.h>
#include <pthread.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <utility>

#include "core/base/file_use.h"
#include "core/base/stopwatch.h"

namespace thaw {

FileWatch::FileWatch(double deadline, std::function<void(const std::string& what)> hung)
    : deadline_(deadline), hung_(std::move(hung)) {
  if (deadline_ > 0) thread_ = std::thread([this] { run(); });
}

FileWatch::~FileWatch() {
  if (!thread_.joinable()) return;
  {
    const std::lock_guard lock(mutex_);
    finished_ = true;
  }
  changed_.notify_one();
  thread_.join();
}

void FileWatch::run() {
  pthread_setname_np(pthread_self(), "thaw-files");  // as debuggers and top show it
  const double interval = std::clamp(deadline_ / 16, 0.02, 1.0);
  std::map<std::uint64_t, double> still;  // seconds, by the call's number
  Stopwatch since_look;
  std::unique_lock lock(mutex_);
  while (!changed_.wait_for(lock, std::chrono::duration<double>(interval),
                            [this] { return finished_; })) {
    // A process that was stopped, as by Ctrl-Z, finds the clock far ahead.
    const double passed = std::min(since_look.lap(), 2 * interval);
    std::map<std::uint64_t, double> now;
    for (const FileUse::Seen& seen : FileUse::all()) {
      const auto before = still.find(seen.number);
      const double seconds = before == still.end() ? 0 : before->second + passed;
      now[seen.number] = seconds;
      if (seconds < deadline_) continue;
      hung_(fmt::format("cannot {} {}: its file system has not answered for {:.0f} s", seen.action,
                        seen.path, seconds));
      return;
    }
    still = std::move(now);
  }
}

}  // namespace thaw
