#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <bit>
#include <cerrno>
#include <cstring>
#include <string_view>

#include "core/base/error.h"
#include "core/models/weights/safetensors.h"
#include "core/models/weights/safetensors_header.h"
#include "core/models/weights/safetensors_parts.h"

namespace thaw {

static_assert(std::endian::native == std::endian::little,
              "safetensors stores little-endian numbers, which are mapped as they are");

/// A whole file in memory, read-only.
class SafetensorsFile::Mapping {
 public:
  explicit Mapping(const std::string& path) {
    // Without O_NONBLOCK a pipe of that name would block for ever.
    const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (file < 0) {
      throw InputError(fmt::format("{}: cannot open: {}", path, std::strerror(errno)));
    }
    struct stat status {};
    int error = ::fstat(file, &status) == 0 ? 0 : errno;
    if (error == 0 && !S_ISREG(status.st_mode)) {
      error = S_ISDIR(status.st_mode) ? EISDIR : EINVAL;
    }
    if (error == 0 && status.st_size > 0) {
      size_ = static_cast<std::size_t>(status.st_size);
      bytes_ = ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, file, 0);
      error = bytes_ == MAP_FAILED ? errno : 0;
    }
    ::close(file);
    if (error != 0) {
      bytes_ = MAP_FAILED;
      throw InputError(fmt::format("{}: cannot read: {}", path, std::strerror(error)));
    }
  }
  ~Mapping() {
    if (bytes_ != MAP_FAILED) {
      ::munmap(bytes_, size_);
    }
  }
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;

  const char* bytes() const { return static_cast<const char*>(bytes_); }
  std::size_t size() const { return size_; }

 private:
  void* bytes_ = MAP_FAILED;
  std::size_t size_ = 0;
};

SafetensorsFile::SafetensorsFile(const std::string& path)
    : path_(path), mapping_(std::make_shared<const Mapping>(path)) {
  const std::string_view file(mapping_->size() > 0 ? mapping_->bytes() : "", mapping_->size());
  const SafetensorsParts parts = safetensors_parts(file, path);
  data_ = parts.data.data();
  SafetensorsHeader header = parse_safetensors_header(parts.header, parts.data.size(), path);
  metadata_ = std::move(header.metadata);
  entries_ = std::move(header.entries);
  for (std::size_t i = 0; i < entries_.size(); ++i) {
    index_.emplace(entries_[i].name, i);
  }
}

const SafetensorsEntry* SafetensorsFile::find(const std::string& name) const {
  const auto found = index_.find(name);
  return found == index_.end() ? nullptr : &entries_[found->second];
}

at::Tensor SafetensorsFile::view(const SafetensorsEntry& entry) const {
  const char* first = data_ + entry.begin;
  if (reinterpret_cast<std::uintptr_t>(first) % c10::elementSize(entry.dtype) != 0) {
    return copy(entry);
  }
  // from_blob has no notion of constant memory; the mapping itself refuses writes.
  return at::from_blob(
      const_cast<char*>(first), entry.shape,
      [mapping = mapping_](void*) mutable { mapping.reset(); }, at::TensorOptions(entry.dtype));
}

at::Tensor SafetensorsFile::copy(const SafetensorsEntry& entry) const {
  at::Tensor result = at::empty(entry.shape, entry.dtype);
  if (entry.end > entry.begin) {
    std::memcpy(result.mutable_data_ptr(), data_ + entry.begin, entry.end - entry.begin);
  }
  return result;
}

}  // namespace thaw
