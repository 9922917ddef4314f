#include "launch/job/stop_signals.h"

#include <vector>

namespace thaw {
namespace {

std::vector<SignalWatch::Watched> watched(bool terminations, bool children) {
  std::vector<SignalWatch::Watched> all = {{SIGUSR1}, {SIGUSR2}};
  if (terminations) all.insert(all.end(), {{SIGTERM, /*once=*/true}, {SIGINT, /*once=*/true}});
  if (children) all.push_back({SIGCHLD});
  return all;
}

}  // namespace

StopSignals::StopSignals(bool terminations, bool children)
    : watch_(watched(terminations, children)) {}

bool StopSignals::came() {
  for (const int signal : {SIGUSR1, SIGUSR2, SIGTERM, SIGINT}) {
    if (SignalWatch::count(signal) > 0) return true;
  }
  return false;
}

}  // namespace thaw
