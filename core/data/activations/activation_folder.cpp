#include "core/data/activations/activation_folder.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <thread>
#include <vector>

#include "core/base/error.h"
#include "core/base/file_use.h"
#include "core/base/stopwatch.h"
#include "core/base/system.h"
#include "core/data/activations/activation_file.h"
#include "core/data/cache/cache_file.h"

namespace thaw {
namespace {

namespace fs = std::filesystem;

struct Entry {
  fs::path path;
  std::int64_t bytes = 0;
  fs::file_time_type used;
};

void make_folder(const std::string& folder) {
  const FileUse use("look into", folder);
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) {
    throw InputError(
        fmt::format("{}: cannot be made: {} (train.prefix-cache-folder names the folder)", folder,
                    error.message()));
  }
}

/// The files of activations that are there, the one used longest ago first.
std::vector<Entry> entries_of(const std::string& folder) {
  std::vector<Entry> entries;
  const FileUse use("look into", folder);
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder, error)) {
    if (!entry.path().filename().string().ends_with(ActivationFile::kEnding)) continue;
    std::error_code gone;  // by another process, meanwhile
    const auto bytes = static_cast<std::int64_t>(fs::file_size(entry.path(), gone));
    const auto used = fs::last_write_time(entry.path(), gone);
    if (!gone) entries.push_back({entry.path(), bytes, used});
  }
  std::sort(entries.begin(), entries.end(),
            [](const Entry& a, const Entry& b) { return a.used < b.used; });
  return entries;
}

// Note [Unfinished files of other hosts]
// A process of this host can be asked after; one of another host, or of a container that is gone
// with its name, cannot. Whoever fills a file holds its lock until it is finished, and writes all
// the while. Locks alone do not tell: some file systems keep them within a host, or know none. So
// what has not been written for a day (is_forgotten) and is locked by nobody seen from here is
// nobody's.

/// Whether nobody seen from this host fills the file whose lock this is.
bool is_unlocked(const std::string& lock) {
  const FileUse use("lock", lock);
  const int descriptor = ::open(lock.c_str(), O_RDWR | O_CLOEXEC);
  if (descriptor < 0) return errno == ENOENT;
  const bool taken = ::flock(descriptor, LOCK_EX | LOCK_NB) == 0;
  const bool held = !taken && (errno == EWOULDBLOCK || errno == EINTR);
  ::close(descriptor);
  return !held;
}

/// Whether `path` is an unfinished file of a process of this host that is gone, or one that nobody
/// fills any more: see Note [Unfinished files of other hosts].
bool left_behind(const fs::path& path) {
  const std::string name = path.filename().string();
  const std::string unfinished = ActivationFile::kUnfinished;
  const std::size_t end = name.find(ActivationFile::kEnding + unfinished);
  if (end == std::string::npos) return false;
  const std::string file = name.substr(0, end) + ActivationFile::kEnding;
  const std::string own = file + unfinished + host_name() + ".";
  if (name.starts_with(own)) {
    const long process = std::atol(name.c_str() + own.size());
    if (process > 0 && ::kill(static_cast<pid_t>(process), 0) != 0 && errno == ESRCH) return true;
  }
  // A number that is somebody's may be another process's by now.
  return is_forgotten(path.string()) &&
         is_unlocked((path.parent_path() / (file + ".lock")).string());
}

void remove_left_behind(const std::string& folder) {
  const FileUse use("look into", folder);
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder, error)) {
    std::error_code unneeded;
    if (left_behind(entry.path())) fs::remove(entry.path(), unneeded);
  }
}

}  // namespace

FillClaim::FillClaim(const std::string& lock, const std::function<void()>& waiting) {
  make_folder(fs::path(lock).parent_path().string());
  {
    const FileUse use("open", lock);
    descriptor_ = ::open(lock.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  }
  if (descriptor_ < 0) {
    throw InputError(
        fmt::format("{}: cannot be created: {} (train.prefix-cache-folder names the folder)", lock,
                    std::strerror(errno)));
  }
  while (true) {
    {
      const FileUse use("lock", lock);
      if (::flock(descriptor_, LOCK_EX | LOCK_NB) == 0) return;
      if (errno != EWOULDBLOCK && errno != EINTR) return;
    }
    waiting();
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
}

FillClaim::~FillClaim() { ::close(descriptor_); }

ActivationRoom activation_room(const std::string& folder, std::int64_t limit) {
  make_folder(folder);
  ActivationRoom room;
  for (const Entry& entry : entries_of(folder)) room.used += entry.bytes;
  const std::int64_t there = room.used + room_in(folder);
  room.limit = limit > 0 ? std::min(limit, there) : there / 2;
  return room;
}

bool make_activation_room(const std::string& folder, std::int64_t bytes, std::int64_t limit,
                          const std::set<std::string>& kept) {
  remove_left_behind(folder);
  std::vector<Entry> entries = entries_of(folder);
  std::int64_t used = 0;
  for (const Entry& entry : entries) used += entry.bytes;
  for (const Entry& entry : entries) {
    if (used + bytes <= limit) break;
    if (kept.contains(entry.path.string())) continue;
    std::error_code error;
    const FileUse use("remove", entry.path.native());
    // Whoever reads it has it open, and goes on reading it.
    if (fs::remove(entry.path, error)) used -= entry.bytes;
  }
  return used + bytes <= limit && bytes <= room_in(folder);
}

FolderSpeed measure_folder(const std::string& folder) {
  constexpr std::size_t kBytes = 8 << 20;
  make_folder(folder);
  std::string path = (fs::path(folder) / "speed.XXXXXX").string();
  const FileUse use("write", path);
  const int file = ::mkstemp(path.data());
  if (file < 0) {
    throw InputError(
        fmt::format("{}: nothing can be written there: {} (train.prefix-cache-folder names the "
                    "folder)",
                    folder, std::strerror(errno)));
  }
  ::unlink(path.c_str());
  std::vector<char> bytes(kBytes, 1);
  const Stopwatch writing;
  const bool written = ::pwrite(file, bytes.data(), kBytes, 0) == static_cast<ssize_t>(kBytes) &&
                       ::fdatasync(file) == 0;
  const int error = errno;
  FolderSpeed speed{.write = writing.seconds() / static_cast<double>(kBytes)};
  const Stopwatch reading;
  const bool read =
      written && ::pread(file, bytes.data(), kBytes, 0) == static_cast<ssize_t>(kBytes);
  speed.read = reading.seconds() / static_cast<double>(kBytes);
  ::close(file);
  if (!read) {
    throw InputError(
        fmt::format("{}: nothing can be written there: {} (train.prefix-cache-folder names the "
                    "folder)",
                    folder, std::strerror(written ? EIO : error)));
  }
  return speed;
}

}  // namespace thaw
