#include "launch/job/child_jobs.h"

#include <fmt/format.h>

#include <csignal>
#include <map>
#include <optional>
#include <utility>

#include "core/base/error.h"
#include "launch/job/child_process.h"
#include "launch/job/launch_command.h"
#include "launch/job/stop_signals.h"

namespace thaw {
namespace {

ChildProcess start(const ChildJob& job) {
  const Descriptor nothing = Descriptor::nothing();
  const Descriptor output = Descriptor::create(job.output);
  std::optional<Descriptor> errors;
  if (job.errors != job.output) errors.emplace(Descriptor::create(job.errors));
  try {
    return ChildProcess({.command = job.command,
                         .input = nothing.number(),
                         .output = output.number(),
                         .errors = (errors ? *errors : output).number()});
  } catch (const ProcessNotStarted& error) {
    if (job.command.front() != mpirun_command(1).front()) throw;
    throw RunError(fmt::format("{}; THAW_MPIEXEC names the mpirun to use", error.what()));
  }
}

/// The jobs under way, by index; those that are left when it goes are ended, all of them at once.
class Running {
 public:
  explicit Running(StopSignals& signals) : signals_(signals) {}
  ~Running() {
    for (auto& [index, process] : jobs_) process.signal(SIGTERM);
  }
  std::size_t count() const { return jobs_.size(); }
  void start(const ChildJob& job, std::size_t index) { jobs_.emplace(index, thaw::start(job)); }

  /// Waits for one of them: its index and status; or for a signal that stops all, which throws.
  std::pair<std::size_t, int> wait() {
    for (;; signals_.wait()) {
      const std::optional<std::pair<std::size_t, int>> ended = take_ended();
      // Looked at after the child, which may have died of the same signal.
      if (StopSignals::came()) throw JobsStopped("stopped by a signal");
      if (ended) return *ended;
    }
  }

 private:
  std::optional<std::pair<std::size_t, int>> take_ended() {
    for (auto job = jobs_.begin(); job != jobs_.end(); ++job) {
      const std::optional<int> status = job->second.poll();
      if (!status) continue;
      const std::size_t index = job->first;
      jobs_.erase(job);
      return std::make_pair(index, *status);
    }
    return std::nullopt;
  }

  StopSignals& signals_;
  std::map<std::size_t, ChildProcess> jobs_;
};

}  // namespace

void run_jobs(const std::vector<ChildJob>& jobs, int parallel,
              const std::function<void(std::size_t, int)>& ended) {
  StopSignals signals(/*terminations=*/true, /*children=*/true);
  run_jobs(jobs, parallel, ended, signals);
}

void run_jobs(const std::vector<ChildJob>& jobs, int parallel,
              const std::function<void(std::size_t, int)>& ended, StopSignals& signals) {
  Running running(signals);
  std::size_t next = 0;
  while (next < jobs.size() || running.count() > 0) {
    while (next < jobs.size() && running.count() < static_cast<std::size_t>(parallel)) {
      running.start(jobs[next], next);
      ++next;
    }
    const auto [job, status] = running.wait();
    ended(job, status);
  }
}

}  // namespace thaw
