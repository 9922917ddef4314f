#include "core/base/whole_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <utility>

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

int create(const fs::path& path, int flags) {
  const FileUse use("create", path.native());
  return ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | flags, 0666);
}

}  // namespace

OutputFile::OutputFile(fs::path path, int flags, Remedy remedy)
    : path_(std::move(path)), remedy_(remedy), file_(create(path_, flags)) {
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

void OutputFile::finish() {
  const FileUse use("flush", path_.native());
  if (::fsync(file_) != 0) fail("flush it");
  if (::close(std::exchange(file_, -1)) != 0) fail("close it");
}

WholeFile::WholeFile(fs::path path) : path_(std::move(path)), file_(name_beside(path_), O_EXCL) {}

WholeFile::~WholeFile() {
  if (!committed_) ::unlink(file_.path().c_str());
}

void WholeFile::commit() {
  file_.finish();
  const FileUse use("put into its place", path_.native());
  if (std::rename(file_.path().c_str(), path_.c_str()) != 0) file_.fail("put it in its place");
  committed_ = true;
  const fs::path folder = path_.parent_path();
  flush_folder(folder.empty() ? "." : folder);
}

void write_whole_file(const fs::path& path, const std::string& text) {
  WholeFile file(path);
  file.write(text);
  file.commit();
}

void flush_folder(const fs::path& folder) {
  const int opened = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (opened < 0) return;
  ::fsync(opened);
  ::close(opened);
}

}  // namespace thaw
