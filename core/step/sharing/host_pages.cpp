#include "core/step/sharing/host_pages.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <sstream>
#include <utility>

#include "core/base/error.h"

namespace thaw {
namespace {

[[noreturn]] void fail_pages(const std::string& what) {
  throw RunError(fmt::format("{}: {}", what, std::strerror(errno)));
}

/// A file that is closed at the end.
class OpenFile {
 public:
  explicit OpenFile(const std::string& path) : number_(::open(path.c_str(), O_RDONLY | O_CLOEXEC)) {
    if (number_ < 0) fail_pages(path);
  }
  ~OpenFile() { ::close(number_); }
  OpenFile(const OpenFile&) = delete;
  OpenFile& operator=(const OpenFile&) = delete;
  int number() const { return number_; }

 private:
  int number_;
};

}  // namespace

std::size_t in_whole_pages(std::size_t bytes) {
  const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  return (bytes + page - 1) / page * page;
}

std::string encode(const PagesTicket& ticket) {
  return fmt::format("{} {} {} {} {}", ticket.process, ticket.descriptor, ticket.device,
                     ticket.inode, ticket.bytes);
}

PagesTicket decode_pages_ticket(const std::string& line) {
  PagesTicket ticket;
  std::istringstream text(line);
  if (!(text >> ticket.process >> ticket.descriptor >> ticket.device >> ticket.inode >>
        ticket.bytes)) {
    throw RunError("another rank told of its pages in words that are not understood: " + line);
  }
  return ticket;
}

WrittenPages::WrittenPages() : file_(::memfd_create("thaw-weights", MFD_CLOEXEC)) {
  if (file_ < 0) fail_pages("memfd_create");
}

WrittenPages::~WrittenPages() {
  if (file_ >= 0) ::close(file_);
}

WrittenPages::WrittenPages(WrittenPages&& other) noexcept
    : file_(std::exchange(other.file_, -1)), end_(other.end_) {}

std::size_t WrittenPages::append(const void* memory, std::size_t bytes) {
  const std::size_t begin = end_;
  const auto* from = static_cast<const char*>(memory);
  for (std::size_t done = 0; done < bytes;) {
    const ssize_t count =
        ::pwrite(file_, from + done, bytes - done, static_cast<off_t>(begin + done));
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) fail_pages(fmt::format("writing {} bytes of a file in memory", bytes));
    done += static_cast<std::size_t>(count);
  }
  end_ = begin + in_whole_pages(bytes);
  if (::ftruncate(file_, static_cast<off_t>(end_)) != 0)
    fail_pages("ftruncate of a file in memory");
  return begin;
}

PagesTicket WrittenPages::ticket() const {
  struct stat facts = {};
  if (::fstat(file_, &facts) != 0) fail_pages("fstat of a file in memory");
  return {.process = ::getpid(),
          .descriptor = file_,
          .device = facts.st_dev,
          .inode = facts.st_ino,
          .bytes = end_};
}

MappedPages::MappedPages(const PagesTicket& ticket) : bytes_(ticket.bytes) {
  const std::string path = fmt::format("/proc/{}/fd/{}", ticket.process, ticket.descriptor);
  const OpenFile file(path);
  struct stat facts = {};
  if (::fstat(file.number(), &facts) != 0) fail_pages(path);
  if (facts.st_dev != ticket.device || facts.st_ino != ticket.inode ||
      static_cast<std::uint64_t>(facts.st_size) != ticket.bytes) {
    throw RunError(path + " is not what the other rank has there: it lives in another container");
  }
  // Not MAP_POPULATE, which would copy every page of a mapping that may be written to.
  memory_ = ::mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE, file.number(), 0);
  if (memory_ == MAP_FAILED) fail_pages("mmap of " + path);
}

MappedPages::~MappedPages() { ::munmap(memory_, bytes_); }

}  // namespace thaw
