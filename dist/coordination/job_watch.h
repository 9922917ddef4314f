#pragma once

#include <memory>

#include "core/parallel/communicator.h"
#include "core/parallel/step_monitor.h"

namespace thaw {

class TerminationSignal;
class Watchdog;

/// Watches the ranks of an MPI job for one that hangs, stops answering or skips a collective, and
/// then ends the job with status 4, saying which rank, on which host and where it is. mpirun alone
/// never notices a hang. At one rank, or with both deadlines 0, it does nothing.
///
/// In a loop of your own:
///
///     thaw::JobWatch watch(world);
///     watch.start({.hang = 300, .transition = 600});
///     thaw::DataParallel parallel(watch.communicator(), *net, {.monitor = &watch.monitor()});
///     ...                  // long work outside of steps: watch.monitor().tick() now and then
///     watch.finish();
///
/// One instance a process, made, started and finished by the thread that trains.
class JobWatch {
 public:
  /// `world`: all ranks of the job, which outlive it.
  explicit JobWatch(Communicator& world);
  ~JobWatch();
  JobWatch(const JobWatch&) = delete;
  JobWatch& operator=(const JobWatch&) = delete;

  /// To be used in the place of `world`: what waits in it is told apart from what hangs.
  Communicator& communicator() { return *communicator_; }
  /// Where this rank is: told by whoever trains, a DataParallel or a Trainer.
  StepMonitor& monitor() { return monitor_; }

  /// A collective. Seconds that a rank may hold up the others; see Deadlines. `takes_sigterm`:
  /// SIGTERM is the launcher's word that the job ends, as mpirun's is, and what this rank knows of
  /// the others is told then; false where it means something else to the program.
  void start(const Deadlines& deadlines, bool takes_sigterm = true);
  /// A collective: returns when all ranks have finished training, watched until then.
  void finish();

 private:
  Communicator& world_;
  StepMonitor monitor_;
  std::unique_ptr<Communicator> communicator_;
  std::unique_ptr<TerminationSignal> termination_;
  std::unique_ptr<Watchdog> watchdog_;
};

}  // namespace thaw
