#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace thaw {

/// How another process of this host finds pages that one has written.
struct PagesTicket {
  std::int64_t process = 0;  ///< that has them open
  int descriptor = 0;        ///< there
  std::uint64_t device = 0;  ///< of their file, by which a finder sees that it is the right one
  std::uint64_t inode = 0;   ///< likewise
  std::uint64_t bytes = 0;
  friend bool operator==(const PagesTicket&, const PagesTicket&) = default;
};

/// `bytes` and what is left of their last page.
std::size_t in_whole_pages(std::size_t bytes);

/// In one line, without its end.
std::string encode(const PagesTicket& ticket);
/// Throws RunError where `line` is none.
PagesTicket decode_pages_ticket(const std::string& line);

/// Pages of a file in memory that has no name: nothing of it is left once nobody has it open or
/// mapped, however a process ends. It needs no room in /dev/shm, which is small in containers.
/// Open for as long as an instance lives. Throws RunError with the system's reason.
class WrittenPages {
 public:
  WrittenPages();
  ~WrittenPages();
  WrittenPages(WrittenPages&& other) noexcept;
  WrittenPages& operator=(WrittenPages&&) = delete;

  /// Puts `bytes` behind what is there, from the next page on; returns where they begin.
  std::size_t append(const void* memory, std::size_t bytes);
  PagesTicket ticket() const;

 private:
  int file_;
  std::size_t end_ = 0;
};

/// The same pages, mapped into this process: read from where all read, and copied, page by page, by
/// whoever writes. So a stray write stays the writer's own, and no other process sees it.
class MappedPages {
 public:
  /// Throws RunError where they are not to be had: the process is another user's, or lives in
  /// another name space of processes, or has closed them.
  explicit MappedPages(const PagesTicket& ticket);
  ~MappedPages();
  MappedPages(const MappedPages&) = delete;
  MappedPages& operator=(const MappedPages&) = delete;

  char* at(std::size_t offset) const { return static_cast<char*>(memory_) + offset; }
  std::size_t bytes() const { return bytes_; }

 private:
  void* memory_ = nullptr;
  std::size_t bytes_ = 0;
};

}  // namespace thaw
