#include "core/data/identity/file_stamp.h"

#include <sys/stat.h>

#include <algorithm>
#include <chrono>

#include "core/base/file_use.h"

namespace thaw {
namespace {

constexpr std::int64_t kSecond = 1'000'000'000;

std::int64_t nanoseconds(const timespec& time) {
  return std::int64_t{time.tv_sec} * kSecond + time.tv_nsec;
}

}  // namespace

// A file that is written within the same tick of its clock as it was read keeps its stamp: git
// calls such entries racy, and does not trust them either.
bool FileStamp::settled_at(std::int64_t time) const {
  return std::max(modified, changed) <= time - 2 * kSecond;
}

FileStamp stamp_of(const struct stat& status) {
  return {.device = status.st_dev,
          .inode = status.st_ino,
          .size = status.st_size,
          .modified = nanoseconds(status.st_mtim),
          .changed = nanoseconds(status.st_ctim)};
}

std::optional<FileStamp> stamp_of(const std::string& path) {
  const FileUse use("examine", path);
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0) return std::nullopt;
  return stamp_of(status);
}

std::int64_t stamp_clock() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

}  // namespace thaw
