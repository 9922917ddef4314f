#pragma once

#include <csignal>
#include <cstddef>
#include <vector>

namespace thaw {

// Note [Which signal stops]
// SIGUSR1 and SIGUSR2 always ask a run to stop and save: batch systems send them ahead of a job's
// end. SIGTERM and SIGINT ask for the same where they reach the process itself and it has time:
// alone and under srun. Under mpirun a rank gets SIGTERM because another rank has died, or because
// mpirun was told to end, and has a second left: the watchdog's, for its last words.
// A handler only sets a flag; training looks at it between two steps. A second SIGINT or SIGTERM
// ends the process as if nobody had asked.

/// Notes the signals that ask a run to stop, from its construction on. At most one lives at a time.
class StopSignals {
 public:
  /// `terminations`: SIGTERM and SIGINT too.
  explicit StopSignals(bool terminations);
  ~StopSignals();
  StopSignals(const StopSignals&) = delete;
  StopSignals& operator=(const StopSignals&) = delete;

  /// Whether one has come.
  static bool came();

 private:
  struct Before {
    int signal;
    struct sigaction action;
  };
  std::vector<Before> before_;
};

}  // namespace thaw
