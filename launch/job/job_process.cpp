#include "launch/job/job_process.h"

#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "core/base/error.h"
#include "core/base/stopwatch.h"

namespace thaw {
namespace {

constexpr int kPollMilliseconds = 50;
constexpr double kPatience = 5;  ///< seconds from the second signal until SIGKILL

sigset_t watched_signals() {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2}) sigaddset(&set, signal);
  return set;
}

[[noreturn]] void become(const std::vector<std::string>& command,
                         const std::vector<std::string>& environment) {
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  setpgid(0, 0);
  for (const std::string& each : environment) putenv(const_cast<char*>(each.c_str()));
  std::vector<char*> words;
  for (const std::string& word : command) words.push_back(const_cast<char*>(word.c_str()));
  words.push_back(nullptr);
  execvp(words[0], words.data());
  std::fprintf(stderr, "thaw: %s: cannot be started: %s\n", words[0], std::strerror(errno));
  std::_Exit(127);
}

int shell_status(int status) {
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

}  // namespace

JobProcess::JobProcess() {
  const sigset_t set = watched_signals();
  sigprocmask(SIG_BLOCK, &set, nullptr);
  signals_ = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
  if (signals_ < 0) throw RunError("signalfd failed: too many open files?");
}

JobProcess::~JobProcess() { close(signals_); }

void JobProcess::pass_on(int signal) {
  if (signal == SIGUSR1 || signal == SIGUSR2) {
    ++asked_;
    if (child_ > 0) kill(child_, SIGUSR1);
    return;
  }
  if (++asked_ == 1) {
    std::fprintf(stderr, "thaw: the ranks save and stop (once more: they end at once)\n");
    if (child_ > 0) kill(child_, SIGUSR1);
  } else if (child_ > 0) {
    kill(child_, SIGTERM);
  }
}

int JobProcess::run(const std::vector<std::string>& command,
                    const std::vector<std::string>& environment) {
  std::fflush(nullptr);
  child_ = fork();
  if (child_ < 0) throw RunError(std::string("fork failed: ") + std::strerror(errno));
  if (child_ == 0) become(command, environment);
  setpgid(child_, child_);  // here too: whichever of the two comes first
  int status = 0;
  Stopwatch since_second;
  while (waitpid(child_, &status, WNOHANG) == 0) {
    pollfd descriptor{signals_, POLLIN, 0};
    poll(&descriptor, 1, kPollMilliseconds);
    signalfd_siginfo info{};
    while (read(signals_, &info, sizeof info) == sizeof info) {
      pass_on(static_cast<int>(info.ssi_signo));
      if (asked_ == 2) since_second.lap();
    }
    if (asked_ >= 2 && since_second.seconds() > kPatience) kill(-child_, SIGKILL);
  }
  kill(-child_, SIGKILL);  // what mpirun left, if anything
  child_ = -1;
  return shell_status(status);
}

void JobProcess::sleep(double seconds) {
  const Stopwatch watch;
  while (!asked_to_stop() && watch.seconds() < seconds) {
    pollfd descriptor{signals_, POLLIN, 0};
    poll(&descriptor, 1, kPollMilliseconds);
    signalfd_siginfo info{};
    while (read(signals_, &info, sizeof info) == sizeof info) {
      pass_on(static_cast<int>(info.ssi_signo));
    }
  }
}

}  // namespace thaw
