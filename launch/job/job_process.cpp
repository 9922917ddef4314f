#include "launch/job/job_process.h"

#include <fmt/format.h>

#include <algorithm>
#include <csignal>
#include <cstdio>

#include "core/base/error.h"
#include "core/base/stopwatch.h"
#include "launch/job/launch_command.h"

namespace thaw {
namespace {

constexpr double kPatience = 5;  ///< seconds from the second signal until SIGKILL
/// Seconds until the ranks are asked again, and then twice as long each time: an mpirun that is
/// starting them passes a signal on to nobody. To ranks that heard it, one more says nothing new.
constexpr double kAskAgain = 1;
constexpr int kPassedOn[] = {SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2};

}  // namespace

JobProcess::JobProcess()
    : signals_({{SIGINT}, {SIGTERM}, {SIGHUP}, {SIGUSR1}, {SIGUSR2}, {SIGCHLD}}),
      seen_(std::size(kPassedOn), 0) {}

void JobProcess::ask(ChildProcess* job, bool gently) {
  ++asked_;
  if (!gently && asked_ == 1) {
    std::fprintf(stderr, "thaw: the ranks save and stop (once more: they end at once)\n");
  }
  if (job != nullptr) job->signal(gently || asked_ == 1 ? SIGUSR1 : SIGTERM);
}

void JobProcess::pass_on_new(ChildProcess* job) {
  for (std::size_t each = 0; each < seen_.size(); ++each) {
    const int signal = kPassedOn[each];
    for (const int count = SignalWatch::count(signal); seen_[each] < count; ++seen_[each]) {
      ask(job, /*gently=*/signal == SIGUSR1 || signal == SIGUSR2);
    }
  }
}

int JobProcess::run(const std::vector<std::string>& command,
                    const std::vector<std::string>& environment) {
  std::fflush(nullptr);
  pass_on_new(nullptr);
  if (asked_to_stop()) return static_cast<int>(ExitStatus::kRequeue);
  std::optional<ChildProcess> job;
  try {
    job.emplace(ProcessRequest{.command = command, .environment = environment, .own_group = true});
  } catch (const ProcessNotStarted& error) {
    throw InputError(fmt::format("{}; THAW_MPIEXEC names the mpirun to use", error.what()));
  }
  std::optional<Stopwatch> since_first, since_second;
  double ask_again = kAskAgain;
  while (!job->poll()) {
    pass_on_new(&*job);
    if (asked_ >= 1 && !since_first) since_first.emplace();
    if (asked_ >= 2 && !since_second) since_second.emplace();
    if (!since_first) {
      signals_.wait();
    } else if (!since_second) {
      signals_.wait(std::max(ask_again - since_first->seconds(), 0.0));
      if (since_first->seconds() >= ask_again) {
        job->signal(SIGUSR1);
        ask_again *= 2;
      }
    } else if (since_second->seconds() < kPatience) {
      signals_.wait(kPatience - since_second->seconds());
    } else {
      job->kill_group();
      job->wait();
    }
  }
  job->kill_group();  // what mpirun left, if anything
  return status_of_job(*job->poll(), asked_to_stop());
}

void JobProcess::sleep(double seconds) {
  const Stopwatch watch;
  for (pass_on_new(nullptr); !asked_to_stop() && watch.seconds() < seconds; pass_on_new(nullptr)) {
    signals_.wait(seconds - watch.seconds());
  }
}

}  // namespace thaw
