#include "launch/hdf5_probe/file_trial.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <exception>
#include <filesystem>
#include <new>

#include "core/base/error.h"
#include "core/base/system.h"
#include "core/data/hdf5/trial_reading.h"

namespace thaw {
namespace {

// Statuses of the child that reads, for its parent alone.
constexpr int kRead = 0;
constexpr int kRefused = 2;
constexpr int kOutOfMemory = 3;
/// A machine that is busy gives a process a part of its time only.
constexpr int kWallSecondsForEach = 4;
/// Bytes: HDF5 decodes whole chunks, which compression may have made small.
constexpr std::int64_t kMemoryForEachByte = 64;

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kSanitized = true;  // shadow memory takes more addresses than any limit allows
#else
constexpr bool kSanitized = false;
#endif

/// What the child has to say, in memory that both see: it needs no reader, and survives a crash.
struct Report {
  char part[512];
  char message[8192];
};

/// Text whose last byte stays 0, whatever a child that ran wild wrote there.
template <std::size_t size>
void put(char (&place)[size], const std::string& text) {
  place[text.copy(place, size - 1)] = '\0';
}

template <std::size_t size>
std::string text_of(const char (&place)[size]) {
  return std::string(place, strnlen(place, size - 1));
}

/// A Report of all zeros, gone at its end.
class SharedReport {
 public:
  SharedReport()
      : memory_(mmap(nullptr, sizeof(Report), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
                     -1, 0)) {
    if (memory_ == MAP_FAILED) throw RunError(fmt::format("mmap failed: {}", strerror(errno)));
  }
  ~SharedReport() { munmap(memory_, sizeof(Report)); }
  SharedReport(const SharedReport&) = delete;
  SharedReport& operator=(const SharedReport&) = delete;

  Report& operator*() const { return *static_cast<Report*>(memory_); }
  Report* operator->() const { return static_cast<Report*>(memory_); }

 private:
  void* memory_;
};

/// A limit that the system does not take leaves the one that was: no trial fails over it.
void limit(int resource, std::int64_t soft, std::int64_t hard) {
  const rlimit wanted{static_cast<rlim_t>(soft), static_cast<rlim_t>(hard)};
  setrlimit(static_cast<__rlimit_resource>(resource), &wanted);
}

/// Nothing is printed: HDF5 and glibc have words of their own for what goes wrong.
void restrict_child(const TrialLimits& limits, std::int64_t memory) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  const int nothing = open("/dev/null", O_RDWR | O_CLOEXEC);
  dup2(nothing, STDOUT_FILENO);
  dup2(nothing, STDERR_FILENO);
  limit(RLIMIT_CORE, 0, 0);
  limit(RLIMIT_CPU, limits.seconds, limits.seconds + 1);
  if (!kSanitized) limit(RLIMIT_AS, memory, memory);
  alarm(static_cast<unsigned>(limits.seconds * kWallSecondsForEach));
}

/// The child's life: reads all that Thaw would, says where it is, and ends with what it found.
int read_as_child(const std::string& path, Report& report) {
  try {
    read_on_trial(path, [&](const std::string& part) { put(report.part, part); });
  } catch (const std::bad_alloc&) {
    return kOutOfMemory;
  } catch (const std::exception& error) {
    put(report.message, error.what());
    return kRefused;
  }
  return kRead;
}

/// What the child's end means, in words for the user; "" where the file can be read.
std::string verdict(int status, const Report& report, const std::string& path,
                    const TrialLimits& limits, std::int64_t memory) {
  const std::string place = fmt::format("{}: {}", path, text_of(report.part));
  constexpr const char* kRemedy =
      "the file is damaged: take a copy that is whole, or make it again from your data with "
      "launch/prepare.py";
  if (WIFEXITED(status) && WEXITSTATUS(status) == kRead) return "";
  if (WIFEXITED(status) && WEXITSTATUS(status) == kRefused) {
    const std::string message = text_of(report.message);
    return message.find(path) == std::string::npos ? path + ": " + message : message;
  }
  if (WIFEXITED(status) && WEXITSTATUS(status) == kOutOfMemory) {
    return fmt::format(
        "{}: reading it takes more than {} of memory, which its size does not "
        "justify; {}",
        place, memory_text(memory), kRemedy);
  }
  const int signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
  if (signal == SIGXCPU || signal == SIGALRM) {
    return fmt::format(
        "{}: reading it does not end ({} s of computing, {} s in all are allowed); "
        "{}",
        place, limits.seconds, limits.seconds * kWallSecondsForEach, kRemedy);
  }
  return fmt::format("{}: HDF5's library crashes on it ({}); {}", place,
                     signal > 0 ? strsignal(signal) : "it ended the process", kRemedy);
}

}  // namespace

std::string try_file(const std::string& path, const TrialLimits& limits) {
  std::error_code error;
  const std::uintmax_t bytes = std::filesystem::file_size(path, error);
  const std::int64_t memory =
      limits.memory + (error ? 0 : kMemoryForEachByte * static_cast<std::int64_t>(bytes));
  const SharedReport report;
  const pid_t child = fork();
  if (child < 0) throw RunError(fmt::format("fork failed: {}", strerror(errno)));
  if (child == 0) {
    restrict_child(limits, memory);
    _exit(read_as_child(path, *report));
  }
  int status = 0;
  while (waitpid(child, &status, 0) < 0) {
    if (errno != EINTR) throw RunError(fmt::format("waitpid failed: {}", strerror(errno)));
  }
  return verdict(status, *report, path, limits, memory);
}

}  // namespace thaw
