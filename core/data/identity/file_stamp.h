#pragma once

#include <cstdint>
#include <optional>
#include <string>

struct stat;

namespace thaw {

/// What tells that a file is the one that was read before, and as it was then, without reading it.
/// Times in nanoseconds since 1970, by the clock of its file system.
struct FileStamp {
  std::uint64_t device = 0;
  std::uint64_t inode = 0;
  std::int64_t size = 0;
  std::int64_t modified = 0;  ///< its content; who writes it may set that back
  std::int64_t changed = 0;   ///< content, owner, permissions, links; nobody can set it

  friend bool operator==(const FileStamp&, const FileStamp&) = default;

  /// Whether all changes are so old at `time` (nanoseconds since 1970) that one more, made after
  /// the file was read, would show: times that a file system keeps are as coarse as two seconds.
  bool settled_at(std::int64_t time) const;
};

/// The array in a file that samples come from, and how the file was when it was opened.
struct SampleSource {
  std::string file;   ///< its path, for people
  std::string array;  ///< as `/train/tokens`
  FileStamp stamp;
  friend bool operator==(const SampleSource&, const SampleSource&) = default;
};

/// Of what stat(2) and fstat(2) found.
FileStamp stamp_of(const struct stat& status);
/// Of the file that `path` leads to now; nothing where there is none.
std::optional<FileStamp> stamp_of(const std::string& path);

/// Now, as stamps count it.
std::int64_t stamp_clock();

}  // namespace thaw
