#include "core/base/input_text.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstring>

#include "core/base/error.h"
#include "core/base/file_use.h"
#include "core/base/system.h"

namespace thaw {
namespace {

/// For a pipe's next bytes.
constexpr int kWaitMilliseconds = 5000;
constexpr std::size_t kLongestLine = 16 << 20;

}  // namespace

/// A file open for reading, that closes itself.
class InputFile {
 public:
  // Without O_NONBLOCK opening a pipe waits for who writes to it.
  explicit InputFile(const std::string& path) : path_(path) {
    const FileUse use("open", path_);
    file_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (file_ < 0) fail(std::strerror(errno));
  }
  ~InputFile() {
    if (file_ >= 0) ::close(file_);
  }
  InputFile(const InputFile&) = delete;
  InputFile& operator=(const InputFile&) = delete;

  [[noreturn]] void fail(const std::string& reason) const {
    throw InputError(fmt::format("{}: cannot be read: {}", path_, reason));
  }

  /// How many bytes came; 0 at the end.
  std::size_t read(char* memory, std::size_t size) const {
    for (;;) {
      pollfd wanted{.fd = file_, .events = POLLIN, .revents = 0};
      const int ready = ::poll(&wanted, 1, kWaitMilliseconds);
      if (ready < 0 && errno == EINTR) continue;
      if (ready == 0) fail("it is a pipe or a device, to which nobody writes");
      const FileUse use("read", path_);
      const ssize_t count = ::read(file_, memory, size);
      if (count >= 0) return static_cast<std::size_t>(count);
      if (errno != EINTR && errno != EAGAIN) fail(std::strerror(errno));
    }
  }

 private:
  std::string path_;
  int file_ = -1;
};

std::string read_input_text(const std::string& path, std::int64_t most) {
  const InputFile file(path);
  std::string text;
  std::array<char, 1 << 16> block;
  while (const std::size_t count = file.read(block.data(), block.size())) {
    text.append(block.data(), count);
    if (static_cast<std::int64_t>(text.size()) > most) {
      file.fail(fmt::format("it is larger than {}", memory_text(most)));
    }
  }
  return text;
}

InputLines::InputLines(const std::string& path) : file_(std::make_unique<InputFile>(path)) {}

InputLines::~InputLines() = default;

bool InputLines::next(std::string& line) {
  line.clear();
  ended_ = false;
  while (!ended_) {
    if (begin_ == end_) {
      begin_ = 0;
      end_ = file_->read(block_.data(), block_.size());
      if (end_ == 0) break;
    }
    const char* first = block_.data() + begin_;
    const auto* found = static_cast<const char*>(std::memchr(first, '\n', end_ - begin_));
    const std::size_t count =
        found != nullptr ? static_cast<std::size_t>(found - first) : end_ - begin_;
    if (line.size() + count > kLongestLine) {
      file_->fail(fmt::format("line {} is longer than {}", number_ + 1,
                              memory_text(static_cast<std::int64_t>(kLongestLine))));
    }
    line.append(first, count);
    ended_ = found != nullptr;
    begin_ += count + (ended_ ? 1 : 0);
  }
  if (!ended_ && line.empty()) {
    ended_ = true;  // nothing came
    return false;
  }
  ++number_;
  return true;
}

}  // namespace thaw
