#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>

namespace thaw {

/// Ends a job whose file system does not answer: tells which call on which file (core/base/
/// file_use.h) has not come back for a deadline. Time in which the process itself was stopped does
/// not count.
class FileWatch {
 public:
  /// `deadline`: seconds for one call; 0: for ever. `hung` is called once, on a thread of its own,
  /// with what hangs and for how long: "cannot write /a/b: ... for 300 s".
  FileWatch(double deadline, std::function<void(const std::string& what)> hung);
  ~FileWatch();
  FileWatch(const FileWatch&) = delete;
  FileWatch& operator=(const FileWatch&) = delete;

 private:
  void run();

  const double deadline_;
  const std::function<void(const std::string& what)> hung_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool finished_ = false;  ///< guarded by `mutex_`
  std::thread thread_;     ///< last: starts when all else is there
};

}  // namespace thaw
