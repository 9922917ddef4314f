#pragma once

#include <functional>
#include <memory>
#include <string>

#include "core/parallel/communicator.h"
#include "core/parallel/step_monitor.h"
#include "dist/communicator/message_channel.h"
#include "dist/coordination/hang_detector.h"

namespace thaw {

class TerminationSignal;

/// What a watchdog goes by and whom it tells. The functions are called on its own thread, while the
/// training thread may hang inside MPI: they must not wait for it.
struct WatchdogOptions {
  Deadlines deadlines;
  double beat_seconds = 0;  ///< between heartbeats; 0: what suits the deadlines
  /// Tells the user something (no line end at its end). On the watchdog's thread.
  std::function<void(const std::string&)> report;
  /// Ends the whole job with ExitStatus::kDisagreement; why has been told. On the watchdog's
  /// thread. Where it returns (in tests), the watchdog goes on beating but judges no more.
  std::function<void()> end_job;
  /// Null: SIGTERM is not looked at. Must outlive the watchdog.
  const TerminationSignal* termination = nullptr;
};

/// Notices a rank of the job that hangs, whatever the training threads do, and ends the job.
///
/// A thread of its own sends heartbeats that tell where this rank is, hears those of the others,
/// and judges (Note [Who hangs] in hang_detector.cpp); between beats it sleeps. It finds a rank
/// that is stopped, dead or cut off; one that loops or blocks while others wait for it; and one
/// that skipped a collective. A rank that comes a good part of the way is reported as a straggler.
class Watchdog {
 public:
  /// A collective: the ranks tell each other their hosts. `channel` is for the watchdog alone;
  /// `communicator` is used here and in `finish`, `monitor` is this rank's: both must outlive it.
  Watchdog(Communicator& communicator, std::unique_ptr<MessageChannel> channel,
           StepMonitor& monitor, WatchdogOptions options);

  /// Without `finish`, tells the others that this rank leaves for a reason of its own.
  ~Watchdog();
  Watchdog(const Watchdog&) = delete;
  Watchdog& operator=(const Watchdog&) = delete;

  /// A collective: returns when all ranks have come here, watched until then. Called once.
  void finish();

 private:
  class Thread;
  Communicator& communicator_;
  StepMonitor& monitor_;
  std::unique_ptr<Thread> thread_;
};

/// Seconds between two heartbeats: a sixteenth of the shortest deadline, within [0.02, 0.25].
double beat_seconds(const Deadlines& deadlines);

}  // namespace thaw
