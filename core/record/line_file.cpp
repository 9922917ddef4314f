#include "core/record/line_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>

#include "core/base/error.h"
#include "core/base/file_use.h"
#include "core/base/progress/notice.h"
#include "core/base/whole_file.h"

namespace thaw {
namespace {

constexpr std::size_t kMostWaiting = 64 << 20;

}  // namespace

LineFile::LineFile(std::filesystem::path path, bool goes_on)
    : path_(std::move(path)),
      file_(open_own_file(path_, /*own=*/1,
                          O_WRONLY | O_CREAT | O_APPEND | (goes_on ? 0 : O_TRUNC))) {
  if (file_ < 0) {
    throw RunError(
        fmt::format("{}: cannot be opened for writing: {}", path_.string(), std::strerror(errno)));
  }
}

LineFile::~LineFile() { ::close(file_); }

void LineFile::write_waiting() {
  std::size_t done = 0;
  while (done < waiting_.size()) {
    const FileUse use("write", path_.native());
    const ssize_t count = ::write(file_, waiting_.data() + done, waiting_.size() - done);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) break;
    done += static_cast<std::size_t>(count);  // half a line that went out is completed later
  }
  waiting_.erase(0, done);
}

void LineFile::add(const std::string& line) {
  waiting_ += line;
  waiting_ += '\n';
  write_waiting();
  if (waiting_.empty()) {
    said_ = false;
    return;
  }
  const int error = errno;
  if (waiting_.size() > kMostWaiting) settle();
  if (!std::exchange(said_, true)) {
    say(fmt::format(
        "thaw: warning: {}: cannot be written: {}; its lines wait in memory and training "
        "goes on: free space there\n",
        path_.string(), std::strerror(error)));
  }
}

// A disk that refuses is told of with the next line, and what it has lost when the run goes on.
void LineFile::flush() {
  const FileUse use("flush", path_.native());
  ::fdatasync(file_);
}

void LineFile::settle() {
  write_waiting();
  if (waiting_.empty()) return;
  throw RunError(fmt::format("{}: cannot be written: {}", path_.string(), std::strerror(errno)));
}

}  // namespace thaw
