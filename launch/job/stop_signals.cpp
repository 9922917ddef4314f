#include "launch/job/stop_signals.h"

#include <vector>

#include "core/base/error.h"

namespace thaw {
namespace {

std::vector<SignalWatch::Watched> watched(bool terminations, bool children) {
  std::vector<SignalWatch::Watched> all = {{SIGUSR1}, {SIGUSR2}};
  if (terminations) {
    // A terminal's end comes twice: from the kernel and from the shell.
    all.insert(all.end(), {{SIGTERM, /*once=*/true}, {SIGINT, /*once=*/true}, {SIGHUP}});
  }
  if (children) all.push_back({SIGCHLD});
  return all;
}

}  // namespace

StopSignals::StopSignals(bool terminations, bool children)
    : watch_(watched(terminations, children)) {}

void StopSignals::nothing_to_save() {
  static constexpr SignalWatch::Ending kEnding{
      static_cast<int>(ExitStatus::kRequeue),
      "thaw: stopped by a signal before training had begun: nothing has been changed, and the same "
      "command starts it\n"};
  SignalWatch::end_at_once(&kEnding);
  if (came()) raise(SIGUSR1);  // one that was counted in the moment before
}

bool StopSignals::came() {
  for (const int signal : {SIGUSR1, SIGUSR2, SIGTERM, SIGINT, SIGHUP}) {
    if (SignalWatch::count(signal) > 0) return true;
  }
  return false;
}

}  // namespace thaw
