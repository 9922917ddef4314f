#include "dist/coordination/job_end.h"

#include <mpi.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <thread>

#include "core/base/error.h"

namespace thaw {
namespace {

constexpr std::chrono::seconds kPatience{5};

std::atomic<int> signalled{-1};                      ///< descriptor of the one instance
std::atomic<void (*)(int)> handler_before{nullptr};  ///< of SIGTERM; null: none
static_assert(std::atomic<int>::is_always_lock_free, "read in a signal handler");

extern "C" void note_termination(int number) {
  const int error = errno;
  const std::uint64_t one = 1;
  [[maybe_unused]] const auto written = write(signalled.load(), &one, sizeof one);
  if (const auto before = handler_before.load()) before(number);
  errno = error;
}

}  // namespace

// Not through stdio: the training thread may hang within it, holding its lock.
void print_now(const std::string& text) {
  const std::string line = "thaw: " + text + "\n";
  for (std::size_t done = 0; done < line.size();) {
    const ssize_t written = write(STDERR_FILENO, line.data() + done, line.size() - done);
    if (written <= 0) return;  // nobody is left to be told
    done += static_cast<std::size_t>(written);
  }
}

// See Note [How a rank ends] in dist/communicator/mpi/mpi_session.cpp. OpenMPI's launcher continues
// stopped ranks before it kills them, so a SIGSTOPped one does not outlive the job.
void end_mpi_job(ExitStatus status) {
  const int code = static_cast<int>(status);
  std::thread([code] {
    std::this_thread::sleep_for(kPatience);
    std::_Exit(code);
  }).detach();
  std::fflush(nullptr);  // may wait for the training thread
  MPI_Abort(MPI_COMM_WORLD, code);
  std::_Exit(code);
}

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
  if (sigaction(SIGTERM, nullptr, &before_) == 0 && before_.sa_handler != SIG_DFL &&
      before_.sa_handler != SIG_IGN) {
    handler_before = before_.sa_handler;
  }
  sigaction(SIGTERM, &action, &before_);
}

TerminationSignal::~TerminationSignal() {
  sigaction(SIGTERM, &before_, nullptr);
  handler_before = nullptr;
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
