#pragma once

#include <memory>
#include <optional>

#include "core/config/configuration.h"
#include "core/parallel/communicator.h"
#include "core/parallel/step_monitor.h"
#include "dist/coordination/termination_signal.h"
#include "dist/coordination/watchdog.h"

namespace thaw {

/// Watches the ranks of a training job for one that hangs, from the time when the configuration is
/// known. At one rank, or with both deadlines 0, it does nothing.
class JobWatch {
 public:
  /// `world`: all ranks of the job, which outlive it.
  explicit JobWatch(Communicator& world);

  /// To be used in the place of `world`: what waits in it is told apart from what hangs.
  Communicator& communicator() { return *communicator_; }
  StepMonitor& monitor() { return monitor_; }

  /// A collective.
  void start(const DistributedOptions& options);
  /// A collective: returns when all ranks have finished training, watched until then.
  void finish();

 private:
  Communicator& world_;
  StepMonitor monitor_;
  std::unique_ptr<Communicator> communicator_;
  std::optional<TerminationSignal> termination_;
  std::optional<Watchdog> watchdog_;
};

}  // namespace thaw
