#include "core/record/lease_process.h"

#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <fstream>
#include <iterator>
#include <optional>
#include <sstream>
#include <string>
#include <vector>

namespace thaw {
namespace {

std::string first_line(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

/// What the kernel tells of a process; nothing where it tells nothing.
struct ProcessStatus {
  bool ended = false;   ///< only its parent has yet to hear of it
  bool ending = false;  ///< none of its code runs any more, but it is not cleared away yet
  std::uint64_t started = 0;
};

std::uint64_t hexadecimal_in(std::int64_t process, const std::string& key) {
  std::ifstream file(fmt::format("/proc/{}/status", process));
  std::uint64_t number = 0;
  for (std::string word; file >> word;) {
    if (word == key) file >> std::hex >> number;
  }
  return number;
}

std::optional<ProcessStatus> status_of(std::int64_t process) {
  std::ifstream file(fmt::format("/proc/{}/stat", process));
  std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  // The program's name, in brackets, may hold anything. Of what follows it:
  constexpr std::size_t kState = 0, kFlags = 6, kStarted = 19;
  const std::size_t name_end = text.rfind(')');
  if (name_end == std::string::npos) return std::nullopt;
  std::istringstream rest(text.substr(name_end + 1));
  const std::vector<std::string> fields{std::istream_iterator<std::string>(rest), {}};
  if (fields.size() <= kStarted) return std::nullopt;
  constexpr std::uint64_t kExiting = 0x4;  // PF_EXITING
  constexpr std::uint64_t kKilled = std::uint64_t{1} << (SIGKILL - 1);
  const std::uint64_t pending =
      hexadecimal_in(process, "SigPnd:") | hexadecimal_in(process, "ShdPnd:");
  return ProcessStatus{
      .ended = fields[kState] == "Z" || fields[kState] == "X",
      .ending = (std::stoull(fields[kFlags]) & kExiting) != 0 || (pending & kKilled) != 0,
      .started = std::stoull(fields[kStarted])};
}

}  // namespace

std::string this_system() {
  const std::string boot = first_line("/proc/sys/kernel/random/boot_id");
  std::array<char, 64> space{};
  // Containers of one machine number their processes each for itself.
  const ssize_t count = ::readlink("/proc/self/ns/pid", space.data(), space.size());
  if (boot.empty() || count <= 0) return "";
  return boot + " " + std::string(space.data(), static_cast<std::size_t>(count));
}

std::uint64_t process_started(std::int64_t process) {
  const std::optional<ProcessStatus> status = status_of(process);
  return status ? status->started : 0;
}

HolderSight holder_sight(const LeaseRecord& record) {
  const std::string here = this_system();
  if (here.empty() || record.system != here) return HolderSight::kElsewhere;
  if (::kill(static_cast<pid_t>(record.process), 0) != 0 && errno == ESRCH) {
    return HolderSight::kGone;
  }
  const std::optional<ProcessStatus> status = status_of(record.process);
  if (!status) return HolderSight::kRuns;  // hidden, not gone
  if (status->ended || status->started != record.started) return HolderSight::kGone;
  return status->ending ? HolderSight::kEnding : HolderSight::kRuns;
}

}  // namespace thaw
