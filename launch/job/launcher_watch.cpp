#include "launch/job/launcher_watch.h"

#include <fmt/format.h>
#include <pthread.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <string>
#include <string_view>
#include <utility>

#include "core/record/lease_process.h"

namespace thaw {
namespace {

/// The parent of a process and the first 15 bytes of its program's name; nothing where the system
/// does not show it.
struct Process {
  pid_t parent = 0;
  std::string name;
};
Process process_of(pid_t number) {
  std::ifstream file(fmt::format("/proc/{}/stat", number));
  std::string text;
  std::getline(file, text);
  const std::size_t begin = text.find('('), end = text.rfind(')');
  if (begin == std::string::npos || end == std::string::npos || end + 4 >= text.size()) return {};
  return {std::atoi(text.c_str() + end + 4), text.substr(begin + 1, end - begin - 1)};
}

}  // namespace

std::optional<pid_t> launcher_process() {
  constexpr std::string_view kLaunchers[] = {"mpirun", "mpiexec",   "orte",       "prte",
                                             "prun",   "hydra_pmi", "slurmstepd", "flux-shell"};
  for (pid_t number = getppid(); number > 1;) {
    const Process process = process_of(number);
    for (const std::string_view launcher : kLaunchers) {
      if (process.name.starts_with(launcher)) return number;
    }
    number = process.parent;
  }
  return std::nullopt;
}

LauncherWatch::LauncherWatch(pid_t launcher, std::function<void()> gone) : gone_(std::move(gone)) {
  // The thread takes no signal: they are for the main thread.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  thread_ = std::thread([this, launcher] { run(launcher); });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

LauncherWatch::~LauncherWatch() {
  {
    const std::lock_guard lock(mutex_);
    finished_ = true;
  }
  changed_.notify_one();
  thread_.join();
}

void LauncherWatch::run(pid_t launcher) {
  pthread_setname_np(pthread_self(), "thaw-launcher");  // as debuggers and top show it
  LeaseRecord process;
  process.system = this_system();
  process.process = launcher;
  process.started = process_started(launcher);
  std::unique_lock lock(mutex_);
  while (!changed_.wait_for(lock, std::chrono::seconds(1), [this] { return finished_; })) {
    const HolderSight sight = holder_sight(process);
    if (sight != HolderSight::kGone && sight != HolderSight::kEnding) continue;
    lock.unlock();
    gone_();
    return;
  }
}

}  // namespace thaw
