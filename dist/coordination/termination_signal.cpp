#include "dist/coordination/termination_signal.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstdlib>

#include "core/base/error.h"

namespace thaw {

namespace {

std::atomic<int> signalled{-1};  ///< descriptor of the one instance
static_assert(std::atomic<int>::is_always_lock_free, "read in a signal handler");

extern "C" void note_termination(int) {
  const int error = errno;
  const std::uint64_t one = 1;
  [[maybe_unused]] const auto written = write(signalled.load(), &one, sizeof one);
  errno = error;
}

}  // namespace

TerminationSignal::TerminationSignal() : descriptor_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  int none = -1;
  if (descriptor_ < 0) throw RunError("eventfd failed: too many open files?");
  if (!signalled.compare_exchange_strong(none, descriptor_)) {
    close(descriptor_);
    throw RunError("SIGTERM is watched already");
  }
  struct sigaction action = {};
  action.sa_handler = note_termination;
  action.sa_flags = SA_RESTART;
  sigemptyset(&action.sa_mask);
  sigaction(SIGTERM, &action, &before_);
}

TerminationSignal::~TerminationSignal() {
  sigaction(SIGTERM, &before_, nullptr);
  signalled = -1;
  close(descriptor_);
}

void TerminationSignal::die() const {
  struct sigaction by_default = {};
  by_default.sa_handler = SIG_DFL;
  sigaction(SIGTERM, &by_default, nullptr);
  kill(getpid(), SIGTERM);
  for (int i = 0; i < 50; ++i) usleep(20'000);  // until another thread has taken the signal
  std::_Exit(128 + SIGTERM);
}

}  // namespace thaw
