#include "launch/job/child_jobs.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <map>
#include <thread>

#include "core/base/error.h"
#include "launch/job/stop_signals.h"

namespace thaw {
namespace {

constexpr std::chrono::milliseconds kBetweenLooks{20};

pid_t start(const ChildJob& job) {
  std::vector<char*> arguments;
  for (const std::string& word : job.command) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, job.output.c_str(),
                                   O_WRONLY | O_CREAT | O_TRUNC, 0644);
  if (job.errors == job.output) {
    posix_spawn_file_actions_adddup2(&actions, STDOUT_FILENO, STDERR_FILENO);
  } else {
    posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, job.errors.c_str(),
                                     O_WRONLY | O_CREAT | O_TRUNC, 0644);
  }
  pid_t process = 0;
  const int error =
      posix_spawnp(&process, arguments[0], &actions, nullptr, arguments.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (error != 0) {
    throw RunError(
        fmt::format("{} cannot be started: {}", job.command.front(), std::strerror(error)));
  }
  return process;
}

int status_of(int waited) {
  return WIFEXITED(waited) ? WEXITSTATUS(waited) : 128 + WTERMSIG(waited);
}

/// The jobs under way; those that are left when it goes are ended.
class Running {
 public:
  ~Running() {
    for (const auto& [process, _] : jobs_) kill(process, SIGTERM);
    for (const auto& [process, _] : jobs_) waitpid(process, nullptr, 0);
  }
  std::size_t count() const { return jobs_.size(); }
  void start(const ChildJob& job, std::size_t index) { jobs_[thaw::start(job)] = index; }

  /// Waits for one of them: its index and status; or for a signal that stops all, which throws.
  std::pair<std::size_t, int> wait() {
    for (;;) {
      int waited = 0;
      const pid_t process = waitpid(-1, &waited, WNOHANG);
      if (process < 0 && errno != EINTR) {
        throw RunError(fmt::format("waiting for a job: {}", std::strerror(errno)));
      }
      const auto found = jobs_.find(process);
      const bool ended = found != jobs_.end();
      const std::size_t index = ended ? found->second : 0;
      if (ended) jobs_.erase(found);
      // Looked at after the child, which may have died of the same signal.
      if (StopSignals::came()) throw JobsStopped("stopped by a signal");
      if (ended) return {index, status_of(waited)};
      std::this_thread::sleep_for(kBetweenLooks);
    }
  }

 private:
  std::map<pid_t, std::size_t> jobs_;
};

}  // namespace

void run_jobs(const std::vector<ChildJob>& jobs, int parallel,
              const std::function<void(std::size_t, int)>& ended) {
  const StopSignals signals(/*terminations=*/true);
  Running running;
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
