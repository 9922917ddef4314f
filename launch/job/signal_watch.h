#pragma once

#include <csignal>
#include <initializer_list>
#include <vector>

namespace thaw {

/// Counts signals as they arrive, on whatever thread, and wakes the thread that waits for one. At
/// most one lives at a time; counts go on after it has gone, until the next.
///
/// A handler adds to a counter and wakes the waiting thread by a descriptor: that loses no signal
/// that comes before the wait, and needs no signal blocked in threads that libraries have started.
class SignalWatch {
 public:
  struct Watched {
    int signal;
    bool once = false;  ///< a second one has its usual effect again
  };

  explicit SignalWatch(std::initializer_list<Watched> watched);
  explicit SignalWatch(const std::vector<Watched>& watched);
  ~SignalWatch();
  SignalWatch(const SignalWatch&) = delete;
  SignalWatch& operator=(const SignalWatch&) = delete;

  /// What a watched signal does in the place of being counted.
  struct Ending {
    int status;
    const char* words;  ///< for standard error
  };
  /// Until the next call, a watched signal but SIGCHLD ends the process at once, as `ending` says,
  /// whatever its threads wait for; null: it is counted. `ending` must live for ever.
  static void end_at_once(const Ending* ending);

  /// How often this signal has come. Any thread.
  static int count(int signal);

  /// Returns as soon as a watched signal has come since the last call, at the latest after
  /// `seconds`. For one thread.
  void wait(double seconds);
  /// The same without an end.
  void wait();

 private:
  void wait_milliseconds(int most);

  struct Before {
    int signal;
    struct sigaction action;
  };
  std::vector<Before> before_;
};

}  // namespace thaw
