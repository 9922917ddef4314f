#include "launch/job/stop_signals.h"

#include <atomic>

namespace thaw {
namespace {

std::atomic<bool> noted{false};
static_assert(std::atomic<bool>::is_always_lock_free, "written in a signal handler");

extern "C" void note_stop(int) { noted = true; }

}  // namespace

StopSignals::StopSignals(bool terminations) {
  noted = false;
  const auto watch = [&](int signal, int flags) {
    struct sigaction action = {};
    action.sa_handler = note_stop;
    action.sa_flags = flags;
    sigemptyset(&action.sa_mask);
    Before before{signal, {}};
    if (sigaction(signal, &action, &before.action) == 0) before_.push_back(before);
  };
  for (const int signal : {SIGUSR1, SIGUSR2}) watch(signal, SA_RESTART);
  if (!terminations) return;
  for (const int signal : {SIGTERM, SIGINT}) {
    watch(signal, SA_RESTART | static_cast<int>(SA_RESETHAND));
  }
}

StopSignals::~StopSignals() {
  for (const Before& each : before_) sigaction(each.signal, &each.action, nullptr);
}

bool StopSignals::came() { return noted; }

}  // namespace thaw
