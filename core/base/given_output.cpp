#include "core/base/given_output.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <system_error>
#include <thread>
#include <utility>

#include "core/base/error.h"

namespace thaw {
namespace fs = std::filesystem;
namespace {

constexpr int kMostLinks = 40;  // as the kernel has it

/// What a path leads to, and whether on the way it passes through what is open in a process: a
/// plain file there is still the one that is open, and another one of its name would not be.
struct Destination {
  fs::path path;
  bool is_open = false;
};

Destination destination_of(const fs::path& path) {
  Destination found{fs::absolute(path)};
  std::error_code error;
  for (int links = 0; links < kMostLinks; ++links) {
    // The folders' own links are resolved first: /dev/fd is one.
    found.path = fs::weakly_canonical(found.path.parent_path(), error) / found.path.filename();
    found.is_open = found.is_open || found.path.string().starts_with("/proc/");
    if (!fs::is_symlink(found.path, error)) break;
    const fs::path next = fs::read_symlink(found.path, error);
    if (error) break;
    found.path = found.path.parent_path() / next;  // `next` alone where it is absolute
  }
  return found;
}

bool is_through(const Destination& destination) {
  std::error_code error;
  const fs::file_status status = fs::status(destination.path, error);
  return destination.is_open ||
         (fs::exists(status) && !fs::is_regular_file(status) && !fs::is_directory(status));
}

}  // namespace

GivenOutput::GivenOutput(const fs::path& path) : path_(path) {
  const Destination destination = destination_of(path);
  if (!is_through(destination)) {
    whole_.emplace(destination.path);
    return;
  }
  // A pipe that nobody reads would hold this process for ever.
  constexpr int kTries = 100;
  constexpr std::chrono::milliseconds kPause(100);
  for (int tries = 0; tries < kTries; ++tries) {
    // What a shell has opened for adding is added to.
    through_ = ::open(path.c_str(), O_WRONLY | O_APPEND | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (through_ >= 0 || errno != ENXIO) break;
    std::this_thread::sleep_for(kPause);
  }
  if (through_ < 0) fail(errno == ENXIO ? "write to a pipe that nobody reads" : "open it");
  ::fcntl(through_, F_SETFL, O_APPEND);  // it may well wait for its reader from now on
}

GivenOutput::~GivenOutput() {
  if (through_ >= 0) ::close(through_);
}

void GivenOutput::fail(const char* action) const {
  throw RunError(fmt::format("{}: cannot {}: {}", path_.string(), action, std::strerror(errno)));
}

void GivenOutput::write(const std::string& text) {
  if (whole_) {
    whole_->write(text);
    return;
  }
  for (std::size_t done = 0; done < text.size();) {
    const ssize_t count = ::write(through_, text.data() + done, text.size() - done);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) fail("write it");
    done += static_cast<std::size_t>(count);
  }
}

void GivenOutput::commit() {
  if (whole_) {
    whole_->commit();
  } else if (::close(std::exchange(through_, -1)) != 0) {
    fail("close it");
  }
}

bool is_written_through(const fs::path& path) { return is_through(destination_of(path)); }

void write_given_output(const fs::path& path, const std::string& text) {
  GivenOutput output(path);
  output.write(text);
  output.commit();
}

}  // namespace thaw
