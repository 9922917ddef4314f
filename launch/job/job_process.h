#pragma once

#include <optional>
#include <string>
#include <vector>

#include "launch/job/child_process.h"
#include "launch/job/signal_watch.h"

namespace thaw {

/// Runs a launcher such as mpirun in a process group of its own, so that the terminal's Ctrl-C
/// reaches this process alone, and passes signals on as training understands them: the first SIGINT
/// or SIGTERM becomes SIGUSR1, which lets the ranks save and end with 75; the second ends them at
/// once. SIGUSR1 and SIGUSR2 go through. One at a time in a process, on its main thread.
class JobProcess {
 public:
  JobProcess();

  /// Runs `command` (looked up in PATH) with `environment` added ("NAME=value") until it ends;
  /// returns its status (`status_of_job`). Nothing of its process group is left then. Where it was
  /// asked to stop before, it starts nothing. Throws InputError where `command` is no program.
  int run(const std::vector<std::string>& command, const std::vector<std::string>& environment);

  /// Whether anybody has asked the job to stop.
  bool asked_to_stop() const { return asked_ > 0; }
  /// Sleeps, unless asked to stop before or meanwhile.
  void sleep(double seconds);

 private:
  /// Passes on to `job`, where there is one, what has come since the last call.
  void pass_on_new(ChildProcess* job);
  /// Somebody asks the job to stop; `gently`: with the signal that lets ranks save at any time.
  void ask(ChildProcess* job, bool gently);

  SignalWatch signals_;
  std::vector<int> seen_;  ///< of each signal that is passed on: how many
  int asked_ = 0;
};

}  // namespace thaw
