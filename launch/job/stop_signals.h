#pragma once

#include "launch/job/signal_watch.h"

namespace thaw {

// Note [Which signal stops]
// SIGUSR1 and SIGUSR2 always ask a run to stop and save: batch systems send them ahead of a job's
// end. SIGTERM, SIGINT and, unless it is ignored as by nohup, SIGHUP ask for the same where they
// reach the process itself and it has time: alone and under srun. Under mpirun a rank gets SIGTERM
// because another rank has died, or because mpirun was told to end, and has a second left: the
// watchdog's, for its last words. A handler only counts; training looks at it between two steps. A
// second SIGINT or SIGTERM ends the process as if nobody had asked. Before training has begun a
// process alone has nothing to save and may be reading from what never answers: there the first
// ends it at once, with status 75.

/// Notes the signals that ask a run to stop, from its construction on. At most one lives at a time.
class StopSignals {
 public:
  /// `terminations`: SIGTERM, SIGINT and SIGHUP too. `children`: `wait` returns at the end of a
  /// child too.
  explicit StopSignals(bool terminations, bool children = false);

  /// Until `training_begins`, a signal ends the process at once.
  static void nothing_to_save();
  /// From now on a signal asks to save and stop.
  static void training_begins() { SignalWatch::end_at_once(nullptr); }

  /// Whether one has come. Any thread.
  static bool came();

  /// Returns when one has come, or a child has ended, since the last call.
  void wait() { watch_.wait(); }

 private:
  SignalWatch watch_;
};

}  // namespace thaw
