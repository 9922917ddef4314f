#include "core/data/hdf5/readable_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "core/base/error.h"
#include "core/base/file_use.h"

namespace thaw {

ReadableFile::ReadableFile(const std::string& path) : path_(path) {
  const FileUse use("open", path_);
  // Of a pipe, opening would wait for who writes to it.
  descriptor_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  struct stat status {};
  if (descriptor_ < 0 || ::fstat(descriptor_, &status) != 0) {
    const std::string reason = std::strerror(errno);
    if (descriptor_ >= 0) ::close(descriptor_);
    throw InputError(fmt::format("{}: {}", path, reason));
  }
  stamp_ = stamp_of(status);
}

ReadableFile::~ReadableFile() { ::close(descriptor_); }

void ReadableFile::read(std::int64_t offset, std::int64_t size, std::byte* memory) const {
  while (size > 0) {
    const FileUse use("read", path_);
    const ssize_t count = ::pread(descriptor_, memory, size, offset);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) {
      throw RunError(
          fmt::format("{}: cannot be read at byte {}: {}", path_, offset, std::strerror(errno)));
    }
    if (count == 0) {
      throw RunError(fmt::format("{}: ends before byte {}; it was cut short while in use", path_,
                                 offset + size));
    }
    offset += count;
    size -= count;
    memory += count;
  }
}

}  // namespace thaw
