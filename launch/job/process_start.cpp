#include "launch/job/process_start.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstring>

namespace thaw {
namespace {

struct Stream {
  int descriptor;
  const char* name;
  bool closed = false;  ///< from the start
  std::atomic<std::int64_t> lost_bytes{0};
  std::atomic<int> error{0};  ///< that lost them first
};

Stream standard_output{STDOUT_FILENO, "standard output"};
Stream standard_errors{STDERR_FILENO, "standard error"};

/// Whether to try again what a write could not do at once.
bool may_go_on(int descriptor, int error) {
  if (error == EINTR) return true;
  if (error != EAGAIN) return false;
  pollfd descriptors{descriptor, POLLOUT, 0};
  return poll(&descriptors, 1, -1) >= 0 || errno == EINTR;
}

/// For a FILE: writes all or drops the rest, and never fails.
ssize_t write_or_drop(void* cookie, const char* text, std::size_t size) {
  Stream& stream = *static_cast<Stream*>(cookie);
  std::size_t done = 0;
  int error = stream.closed ? EBADF : 0;
  while (done < size && error == 0) {
    const ssize_t count = write(stream.descriptor, text + done, size - done);
    if (count > 0) done += static_cast<std::size_t>(count);
    if (count <= 0 && !may_go_on(stream.descriptor, errno)) error = errno;
  }
  if (done < size) {
    int none = 0;
    stream.error.compare_exchange_strong(none, error);
    stream.lost_bytes += static_cast<std::int64_t>(size - done);
  }
  return static_cast<ssize_t>(size);
}

/// A FILE over `stream`; null where memory is out, and the old one serves.
std::FILE* safe_file(Stream& stream, int buffering) {
  std::FILE* file = fopencookie(
      &stream, "w", {.read = nullptr, .write = write_or_drop, .seek = nullptr, .close = nullptr});
  if (file != nullptr) std::setvbuf(file, nullptr, buffering, BUFSIZ);
  return file;
}

void open_standard_descriptors() {
  for (int number = STDIN_FILENO; number <= STDERR_FILENO; ++number) {
    if (fcntl(number, F_GETFD) >= 0 || errno != EBADF) continue;
    open("/dev/null", O_RDWR);  // the lowest number that is free: this one
    if (number == STDOUT_FILENO) standard_output.closed = true;
    if (number == STDERR_FILENO) standard_errors.closed = true;
  }
}

extern "C" void leave_it_to_the_write(int) {}

/// A handler, and not SIG_IGN, which programs started from here would inherit.
void turn_into_error(int signal) {
  struct sigaction action = {};
  if (sigaction(signal, nullptr, &action) != 0 || action.sa_handler != SIG_DFL) return;
  action = {};
  action.sa_handler = leave_it_to_the_write;
  action.sa_flags = SA_RESTART;
  sigemptyset(&action.sa_mask);
  sigaction(signal, &action, nullptr);
}

std::string take_loss(Stream& stream) {
  const std::int64_t bytes = stream.lost_bytes.exchange(0);
  const int error = stream.error.exchange(0);
  if (bytes == 0) return "";
  const char* reason = stream.closed ? "it was closed at the start" : std::strerror(error);
  return fmt::format("{}: {} byte{} ({})", stream.name, bytes, bytes == 1 ? "" : "s", reason);
}

}  // namespace

void start_process() {
  open_standard_descriptors();
  turn_into_error(SIGPIPE);
  turn_into_error(SIGXFSZ);
  const bool terminal = isatty(STDOUT_FILENO) != 0;
  if (std::FILE* file = safe_file(standard_output, terminal ? _IOLBF : _IOFBF)) stdout = file;
  if (std::FILE* file = safe_file(standard_errors, _IONBF)) stderr = file;
}

std::string lost_output() {
  std::fflush(stdout);
  return take_loss(standard_output);
}

std::string lost_errors() {
  std::fflush(stderr);
  return take_loss(standard_errors);
}

}  // namespace thaw
