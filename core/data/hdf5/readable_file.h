#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "core/data/identity/file_stamp.h"

namespace thaw {

/// A file open for reading at any place. Reads the file that it opened, whatever happens to its
/// name. Thread-safe.
class ReadableFile {
 public:
  /// Throws `InputError` with the system's reason.
  explicit ReadableFile(const std::string& path);
  ~ReadableFile();
  ReadableFile(const ReadableFile&) = delete;
  ReadableFile& operator=(const ReadableFile&) = delete;

  const std::string& path() const { return path_; }
  /// As when it was opened.
  std::int64_t size() const { return stamp_.size; }
  /// Likewise.
  const FileStamp& stamp() const { return stamp_; }

  /// Copies [offset, offset + size) to `memory`. Throws `RunError`: unreadable, or cut short.
  void read(std::int64_t offset, std::int64_t size, std::byte* memory) const;

 private:
  std::string path_;
  int descriptor_ = -1;
  FileStamp stamp_;
};

}  // namespace thaw
