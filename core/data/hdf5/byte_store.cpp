#include "core/data/hdf5/byte_store.h"

#include <algorithm>
#include <utility>

#include "core/data/hdf5/readable_file.h"

namespace thaw {

FileByteStore::FileByteStore(std::shared_ptr<const ReadableFile> file, std::int64_t address,
                             std::string description)
    : file_(std::move(file)), address_(address), description_(std::move(description)) {}

void FileByteStore::read(std::int64_t offset, std::int64_t size, std::byte* memory) const {
  file_->read(address_ + offset, size, memory);
}

MemoryByteStore::MemoryByteStore(std::unique_ptr<std::byte[]> bytes, std::string description)
    : bytes_(std::move(bytes)), description_(std::move(description)) {}

void MemoryByteStore::read(std::int64_t offset, std::int64_t size, std::byte* memory) const {
  std::copy_n(bytes_.get() + offset, size, memory);
}

}  // namespace thaw
