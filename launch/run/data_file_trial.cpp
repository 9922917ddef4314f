#include "launch/run/data_file_trial.h"

#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <optional>

#include "core/base/error.h"
#include "launch/job/child_process.h"

namespace thaw {
namespace {

constexpr const char* kProgram = "thaw-hdf5-probe";
/// As arguments of one program, of which the system allows a few hundred kilobytes at least.
constexpr std::size_t kFilesAtOnce = 100;
/// What a shell says of a program that could not be started: its libraries are missing, say.
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
/// `errors`.
std::optional<int> run(const std::string& program, const std::vector<std::string>& arguments,
                       int errors) {
  const Descriptor nothing = Descriptor::nothing();
  ProcessRequest request{.command = {program},
                         .input = nothing.number(),
                         .output = nothing.number(),
                         .errors = errors};
  request.command.insert(request.command.end(), arguments.begin(), arguments.end());
  try {
    return ChildProcess(request).wait();
  } catch (const ProcessNotStarted&) {
    return std::nullopt;
  }
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
