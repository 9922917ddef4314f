#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

namespace thaw {

class ReadableFile;

/// The samples of one split in one file, as a string of bytes that can be read anywhere.
/// Immutable and thread-safe.
class ByteStore {
 public:
  virtual ~ByteStore() = default;

  /// Copies bytes [offset, offset + size), which must lie inside, to `memory`. Throws `RunError`.
  virtual void read(std::int64_t offset, std::int64_t size, std::byte* memory) const = 0;

  /// What is read where, for people.
  virtual std::string describe() const = 0;

  /// Bytes that cost as much to read as one of them, or 0: any order of reading costs the same.
  virtual std::int64_t block_bytes() const { return 0; }
};

/// Bytes that lie one after another in a file.
class FileByteStore : public ByteStore {
 public:
  FileByteStore(std::shared_ptr<const ReadableFile> file, std::int64_t address,
                std::string description);
  void read(std::int64_t offset, std::int64_t size, std::byte* memory) const override;
  std::string describe() const override { return description_; }

 private:
  std::shared_ptr<const ReadableFile> file_;
  std::int64_t address_;
  std::string description_;
};

/// Bytes in memory.
class MemoryByteStore : public ByteStore {
 public:
  MemoryByteStore(std::unique_ptr<std::byte[]> bytes, std::string description);
  void read(std::int64_t offset, std::int64_t size, std::byte* memory) const override;
  std::string describe() const override { return description_; }

 private:
  std::unique_ptr<std::byte[]> bytes_;
  std::string description_;
};

}  // namespace thaw
