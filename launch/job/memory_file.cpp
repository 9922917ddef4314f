#include "launch/job/memory_file.h"

#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "core/base/error.h"

namespace thaw {

MemoryFile::MemoryFile(std::string_view content) : file_(memfd_create("thaw", MFD_CLOEXEC)) {
  if (descriptor() < 0) throw RunError(fmt::format("memfd_create: {}", std::strerror(errno)));
  while (!content.empty()) {
    const ssize_t count = write(descriptor(), content.data(), content.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) throw RunError(fmt::format("a file in memory: {}", std::strerror(errno)));
    content.remove_prefix(static_cast<std::size_t>(count));
  }
  lseek(descriptor(), 0, SEEK_SET);  // where the child begins to read
}

std::string MemoryFile::text() const {
  std::string text;
  char block[4096];
  ssize_t count = 0;
  while ((count = pread(descriptor(), block, sizeof block, static_cast<off_t>(text.size()))) > 0) {
    text.append(block, static_cast<std::size_t>(count));
  }
  if (text.ends_with('\n')) text.pop_back();
  return text;
}

}  // namespace thaw
