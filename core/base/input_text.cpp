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
#include "core/base/system.h"

namespace thaw {
namespace {

/// For a pipe's next bytes.
constexpr int kWaitMilliseconds = 5000;

/// A file open for reading, that closes itself.
class OpenInput {
 public:
  // Without O_NONBLOCK opening a pipe waits for who writes to it.
  explicit OpenInput(const std::string& path)
      : path_(path), file_(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)) {
    if (file_ < 0) fail(std::strerror(errno));
  }
  ~OpenInput() {
    if (file_ >= 0) ::close(file_);
  }
  OpenInput(const OpenInput&) = delete;
  OpenInput& operator=(const OpenInput&) = delete;

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
      const ssize_t count = ::read(file_, memory, size);
      if (count >= 0) return static_cast<std::size_t>(count);
      if (errno != EINTR && errno != EAGAIN) fail(std::strerror(errno));
    }
  }

 private:
  std::string path_;
  int file_;
};

}  // namespace

std::string read_input_text(const std::string& path, std::int64_t most) {
  const OpenInput file(path);
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

}  // namespace thaw
