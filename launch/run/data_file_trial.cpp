#include "launch/run/data_file_trial.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <optional>

#include "core/base/error.h"

namespace thaw {
namespace {

constexpr const char* kProgram = "thaw-hdf5-probe";
/// As arguments of one program, of which the system allows a few hundred kilobytes at least.
constexpr std::size_t kFilesAtOnce = 100;
/// What a shell says of a program that could not be started, and so does posix_spawn's child.
constexpr int kNotStarted = 127;

std::filesystem::path program_path() {
  std::error_code error;
  const std::filesystem::path command = std::filesystem::read_symlink("/proc/self/exe", error);
  return command.parent_path() / kProgram;
}

/// A file in memory that takes what a child prints, whatever its length, and needs no reader.
class CapturedText {
 public:
  CapturedText() : descriptor_(memfd_create("thaw-hdf5-probe", MFD_CLOEXEC)) {
    if (descriptor_ < 0) throw RunError(fmt::format("memfd_create: {}", std::strerror(errno)));
  }
  ~CapturedText() { close(descriptor_); }
  CapturedText(const CapturedText&) = delete;
  CapturedText& operator=(const CapturedText&) = delete;

  int descriptor() const { return descriptor_; }

  /// Without its last end of line.
  std::string text() const {
    std::string text;
    char block[4096];
    ssize_t count = 0;
    while ((count = pread(descriptor_, block, sizeof block, static_cast<off_t>(text.size()))) > 0) {
      text.append(block, static_cast<std::size_t>(count));
    }
    if (text.ends_with('\n')) text.pop_back();
    return text;
  }

 private:
  int descriptor_;
};

/// The program's status as a shell has it; nothing where it cannot be started. Its errors go to
/// `errors`. It gets no signal mask of this process's, which may wait for signals on a thread.
std::optional<int> run(const std::string& program, const std::vector<std::string>& arguments,
                       int errors) {
  std::vector<char*> words = {const_cast<char*>(program.c_str())};
  for (const std::string& word : arguments) words.push_back(const_cast<char*>(word.c_str()));
  words.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, errors, STDERR_FILENO);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t none;
  sigemptyset(&none);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
  pid_t child = -1;
  const int error =
      posix_spawn(&child, program.c_str(), &actions, &attributes, words.data(), environ);
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  if (error != 0) return std::nullopt;
  int status = 0;
  while (waitpid(child, &status, 0) < 0) {
    if (errno != EINTR) throw RunError(fmt::format("waitpid failed: {}", std::strerror(errno)));
  }
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

}  // namespace

void try_data_files(const std::vector<std::string>& files) {
  const std::string program = program_path().string();
  std::string problems;
  for (std::size_t first = 0; first < files.size(); first += kFilesAtOnce) {
    const std::size_t count = std::min(kFilesAtOnce, files.size() - first);
    const auto begin = files.begin() + static_cast<std::ptrdiff_t>(first);
    const CapturedText errors;
    const std::optional<int> status =
        run(program, {begin, begin + static_cast<std::ptrdiff_t>(count)}, errors.descriptor());
    if (!status || *status == kNotStarted) {
      fmt::print(stderr,
                 "thaw: warning: {} cannot be started, so a damaged HDF5 file may crash this "
                 "command; it belongs beside it\n",
                 program);
      return;
    }
    if (*status == static_cast<int>(ExitStatus::kBadInput)) {
      problems += (problems.empty() ? "" : "\n") + errors.text();
    } else if (*status != static_cast<int>(ExitStatus::kDone)) {
      throw RunError(fmt::format("{} ended with status {}: {}", program, *status, errors.text()));
    }
  }
  if (!problems.empty()) throw InputError(problems);
}

}  // namespace thaw
