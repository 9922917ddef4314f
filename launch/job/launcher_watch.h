#pragma once

#include <sys/types.h>

#include <condition_variable>
#include <functional>
#include <mutex>
#include <optional>
#include <thread>

namespace thaw {

/// The nearest process, among those that this one comes from, that starts ranks: mpirun, or on
/// other hosts its daemon. Nothing where there is none, or the system does not show it, as from
/// inside a container.
std::optional<pid_t> launcher_process();

/// Notices that a launcher is gone without having ended its ranks, as after kill -9 of it: nobody
/// would end them, and they would hold the machine and the run's folder.
class LauncherWatch {
 public:
  /// `gone` is called once, on a thread of its own, within some seconds of the end of `launcher`.
  LauncherWatch(pid_t launcher, std::function<void()> gone);
  ~LauncherWatch();
  LauncherWatch(const LauncherWatch&) = delete;
  LauncherWatch& operator=(const LauncherWatch&) = delete;

 private:
  void run(pid_t launcher);

  const std::function<void()> gone_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool finished_ = false;  ///< guarded by `mutex_`
  std::thread thread_;     ///< last: starts when all else is there
};

}  // namespace thaw
