#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>

#include "core/base/hash.h"
#include "core/base/whole_file.h"
#include "core/checkpoint/manifest.h"

namespace thaw {

/// A file that is on the disk, checksummed on the way, once `finish` has returned. Its name means
/// nothing before: it lies in a folder that is not complete yet.
/// Throws RunError naming the file, the system's reason, and what to do where that is known.
class DurableFile {
 public:
  /// `bytes_written`, if not null, counts up as bytes go out.
  explicit DurableFile(const std::filesystem::path& path,
                       std::atomic<std::uint64_t>* bytes_written = nullptr);

  void write(const void* bytes, std::size_t size);
  /// Flushes to the disk and closes.
  FileRecord finish();

 private:
  OutputFile file_;
  std::atomic<std::uint64_t>* bytes_written_;
  std::uint64_t size_ = 0;
  RunningHash hash_;
};

/// Writes a whole text as a DurableFile.
FileRecord write_durable_text(const std::filesystem::path& path, const std::string& text);

/// Throws InputError, naming the file and what is wrong with it, unless it has just the bytes that
/// `record` says.
void verify_file(const std::filesystem::path& folder, const FileRecord& record);

/// The whole content of a file, which must be what `record` says. Throws as `verify_file`, before
/// memory is taken where the size is another one, or more than `most` bytes.
std::string read_verified(const std::filesystem::path& folder, const FileRecord& record,
                          std::uint64_t most);

/// The whole content of a file of at most `most` bytes. Throws InputError.
std::string read_small_file(const std::filesystem::path& path, std::uint64_t most);

}  // namespace thaw
