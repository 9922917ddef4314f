#include "launch/job/signal_watch.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>

#include "core/base/error.h"

namespace thaw {
namespace {

std::array<std::atomic<int>, NSIG> counts;
std::atomic<int> wake{-1};  ///< descriptor
std::atomic<const SignalWatch::Ending*> at_once{nullptr};
static_assert(std::atomic<int>::is_always_lock_free, "written in a signal handler");

extern "C" void note_signal(int number) {
  const int error = errno;
  const SignalWatch::Ending* ending = at_once.load();
  if (ending != nullptr && number != SIGCHLD) {
    [[maybe_unused]] const ssize_t said =
        write(STDERR_FILENO, ending->words, std::strlen(ending->words));
    _exit(ending->status);
  }
  counts[static_cast<std::size_t>(number)].fetch_add(1);
  const std::uint64_t one = 1;
  // It fails where so many are waiting already that another one makes no difference.
  [[maybe_unused]] const ssize_t written = write(wake.load(), &one, sizeof one);
  errno = error;
}

}  // namespace

SignalWatch::SignalWatch(std::initializer_list<Watched> watched)
    : SignalWatch(std::vector<Watched>(watched)) {}

SignalWatch::SignalWatch(const std::vector<Watched>& watched) {
  wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (wake < 0) {
    throw RunError(fmt::format("eventfd failed ({}): too many open files?", std::strerror(errno)));
  }
  for (std::atomic<int>& count : counts) count = 0;
  for (const Watched& each : watched) {
    struct sigaction action = {};
    // nohup's word stands.
    if (each.signal == SIGHUP && sigaction(SIGHUP, nullptr, &action) == 0 &&
        action.sa_handler == SIG_IGN) {
      continue;
    }
    action = {};
    action.sa_handler = note_signal;
    action.sa_flags = SA_RESTART | SA_NOCLDSTOP | (each.once ? static_cast<int>(SA_RESETHAND) : 0);
    sigemptyset(&action.sa_mask);
    Before before{each.signal, {}};
    if (sigaction(each.signal, &action, &before.action) == 0) before_.push_back(before);
  }
}

SignalWatch::~SignalWatch() {
  end_at_once(nullptr);
  for (const Before& each : before_) sigaction(each.signal, &each.action, nullptr);
  close(wake.exchange(-1));
}

void SignalWatch::end_at_once(const Ending* ending) { at_once = ending; }

int SignalWatch::count(int signal) { return counts[static_cast<std::size_t>(signal)]; }

void SignalWatch::wait_milliseconds(int most) {
  pollfd descriptor{wake, POLLIN, 0};
  poll(&descriptor, 1, most);
  std::uint64_t arrived = 0;
  // Nothing is there to be read where time has passed, or where a signal has ended the wait whose
  // handler ran on another thread and writes only now: the next wait returns at once then.
  [[maybe_unused]] const ssize_t count = read(wake, &arrived, sizeof arrived);
}

void SignalWatch::wait(double seconds) {
  const double milliseconds = std::ceil(1000 * std::max(0.0, seconds));
  wait_milliseconds(static_cast<int>(
      std::min(milliseconds, static_cast<double>(std::numeric_limits<int>::max()))));
}

void SignalWatch::wait() { wait_milliseconds(-1); }

}  // namespace thaw
