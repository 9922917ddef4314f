#include "core/base/whole_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <utility>
#include <vector>

#include "core/base/error.h"
#include "core/base/file_use.h"

namespace thaw {
namespace fs = std::filesystem;
namespace {

// A call on all of a large file would show no progress for minutes (core/base/file_use.h).
constexpr std::size_t kPiece = 64 << 20;

/// Unique among the processes of all hosts that share the folder; O_EXCL makes sure.
fs::path name_beside(const fs::path& path) {
  const auto now = std::chrono::steady_clock::now().time_since_epoch().count();
  return fmt::format("{}.{}-{:x}.tmp", path.string(), ::getpid(), now);
}

constexpr mode_t kMode = 0666;  // less what the user's mask takes away

int create(const fs::path& path, int flags, int own) {
  const int all = O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | flags;
  if (own > 0) return open_own_file(path, own, all);
  const FileUse use("create", path.native());
  return ::open(path.c_str(), all, kMode);
}

constexpr const char* kLink =
    "is a link, which is not followed here: remove it, or put what it leads to in its place";
constexpr const char* kNoFile = "is no plain file, which belongs there: remove it";

/// A descriptor to go on from, closed where another one takes its place.
class Step {
 public:
  explicit Step(int number) : number_(number) {}
  ~Step() {
    if (number_ >= 0) ::close(number_);
  }
  Step(const Step&) = delete;
  Step& operator=(const Step&) = delete;
  int number() const { return number_; }
  void take(int number) {
    if (number_ >= 0) ::close(number_);
    number_ = number;
  }

 private:
  int number_;
};

bool is_link(int folder, const fs::path& name) {
  struct stat status {};
  return ::fstatat(folder, name.c_str(), &status, AT_SYMLINK_NOFOLLOW) == 0 &&
         S_ISLNK(status.st_mode);
}

[[noreturn]] void refuse(const fs::path& path, const char* why) {
  throw RunError(fmt::format("{}: {}", path.string(), why));
}

}  // namespace

int open_own_file(const fs::path& path, int own, int flags) {
  const FileUse use("open", path.native());
  std::vector<fs::path> names;  // the file's first
  fs::path above = path;
  for (int i = 0; i < own && above.has_filename(); ++i) {
    names.push_back(above.filename());
    above = above.parent_path();
  }
  Step folder(::open(above.empty() ? "." : above.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  for (; folder.number() >= 0 && names.size() > 1; names.pop_back()) {
    above /= names.back();
    const int next = ::openat(folder.number(), names.back().c_str(),
                              O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    const int error = errno;
    if (next < 0 && is_link(folder.number(), names.back())) refuse(above, kLink);
    folder.take(next);
    errno = error;
  }
  if (folder.number() < 0) return -1;
  // Without O_NONBLOCK a pipe would hold this process for ever.
  const int file = ::openat(folder.number(), names.front().c_str(),
                            flags | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, kMode);
  const int error = errno;
  if (file < 0 && error == ELOOP) refuse(path, kLink);
  if (file < 0 && error == ENXIO) refuse(path, kNoFile);
  struct stat status {};
  if (file >= 0 && (::fstat(file, &status) != 0 || !S_ISREG(status.st_mode))) {
    ::close(file);
    refuse(path, kNoFile);
  }
  errno = error;
  return file;
}

void refuse_planted(const fs::path& path, bool folder) {
  struct stat status {};
  if (::lstat(path.c_str(), &status) != 0) return;
  if (S_ISLNK(status.st_mode)) throw InputError(fmt::format("{}: {}", path.string(), kLink));
  if (folder ? S_ISDIR(status.st_mode) : S_ISREG(status.st_mode)) return;
  throw InputError(folder
                       ? fmt::format("{}: is no folder, as belongs there: remove it", path.string())
                       : fmt::format("{}: {}", path.string(), kNoFile));
}

OutputFile::OutputFile(fs::path path, int flags, Remedy remedy, int own)
    : path_(std::move(path)), remedy_(remedy), file_(create(path_, flags, own)) {
  if (file_ < 0) fail("create it");
}

OutputFile::~OutputFile() {
  if (file_ >= 0) ::close(file_);
}

void OutputFile::fail(const char* action) const {
  const int error = errno;
  throw RunError(fmt::format("{}: cannot {}: {}{}", path_.string(), action, std::strerror(error),
                             remedy_ != nullptr ? remedy_(error) : ""));
}

void OutputFile::write(const void* bytes, std::size_t size) {
  const char* at = static_cast<const char*>(bytes);
  while (size > 0) {
    const FileUse use("write", path_.native());
    const ssize_t count = ::write(file_, at, std::min(size, kPiece));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) fail("write it");
    at += count;
    size -= static_cast<std::size_t>(count);
  }
}

void OutputFile::finish(Lasting lasting) {
  const FileUse use("flush", path_.native());
  if (lasting == Lasting::kNow && ::fsync(file_) != 0) fail("flush it");
  if (::close(std::exchange(file_, -1)) != 0) fail("close it");
}

WholeFile::WholeFile(fs::path path) : path_(std::move(path)), file_(name_beside(path_), O_EXCL) {}

WholeFile::~WholeFile() {
  if (!committed_) ::unlink(file_.path().c_str());
}

void WholeFile::commit(Lasting lasting) {
  file_.finish(lasting);
  const FileUse use("put into its place", path_.native());
  if (std::rename(file_.path().c_str(), path_.c_str()) != 0) file_.fail("put it in its place");
  committed_ = true;
  if (lasting == Lasting::kLater) return;
  const fs::path folder = path_.parent_path();
  flush_folder(folder.empty() ? "." : folder);
}

void write_whole_file(const fs::path& path, const std::string& text) {
  WholeFile file(path);
  file.write(text);
  file.commit();
}

void flush_folder(const fs::path& folder) {
  const FileUse use("flush", folder.native());
  const int opened = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (opened < 0) return;
  ::fsync(opened);
  ::close(opened);
}

}  // namespace thaw
