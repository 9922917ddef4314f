#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <utility>

#include "core/base/error.h"
#include "core/base/file_use.h"
#include "core/base/text_bytes.h"
#include "core/models/weights/safetensors.h"
#include "core/models/weights/safetensors_header.h"
#include "core/models/weights/safetensors_parts.h"
#include "core/models/weights/weight_parts.h"

namespace thaw {

static_assert(std::endian::native == std::endian::little,
              "safetensors stores little-endian numbers, which are mapped as they are");

namespace {

/// A regular file, open for reading.
class OpenFile {
 public:
  explicit OpenFile(const std::string& path)
      // Without O_NONBLOCK a pipe of that name would block for ever.
      : file_(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)) {
    if (file_ < 0) {
      throw InputError(fmt::format("{}: cannot open: {}", path, std::strerror(errno)));
    }
    struct stat status {};
    int error = ::fstat(file_, &status) == 0 ? 0 : errno;
    if (error == 0 && !S_ISREG(status.st_mode)) {
      error = S_ISDIR(status.st_mode) ? EISDIR : EINVAL;
    }
    if (error != 0) {
      ::close(file_);
      throw InputError(fmt::format("{}: cannot read: {}", path, std::strerror(error)));
    }
    size_ = static_cast<std::size_t>(status.st_size);
  }
  ~OpenFile() {
    if (file_ >= 0) ::close(file_);
  }
  OpenFile(OpenFile&& other) noexcept : file_(std::exchange(other.file_, -1)), size_(other.size_) {}
  OpenFile& operator=(OpenFile&&) = delete;

  int number() const { return file_; }
  std::size_t size() const { return size_; }

 private:
  int file_ = -1;
  std::size_t size_ = 0;
};

/// Brings what is mapped into memory, piece by piece as `FileUse` wants it: a page of a dead server
/// would hold whoever touches it for ever, and tell nobody which file that is.
void bring_in(const char* first, std::size_t size, const std::string& path) {
  constexpr std::uintptr_t kPiece = 8 << 20;
  const auto page = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
  const auto end = reinterpret_cast<std::uintptr_t>(first) + size;
  for (auto at = reinterpret_cast<std::uintptr_t>(first) / page * page; at < end; at += kPiece) {
    const FileUse use("read", path);
    const std::uintptr_t length = std::min(kPiece, end - at);
#ifdef MADV_POPULATE_READ
    if (::madvise(reinterpret_cast<void*>(at), length, MADV_POPULATE_READ) == 0) continue;
    if (errno == EFAULT) {
      throw InputError(
          fmt::format("{}: cannot be read to its end: it was cut short while in use", path));
    }
#endif
    for (std::uintptr_t each = at; each < at + length; each += page) {
      static_cast<void>(*reinterpret_cast<const volatile char*>(each));
    }
  }
}

std::size_t whole_pages(std::size_t bytes) {
  const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  return (bytes + page - 1) / page * page;
}

}  // namespace

/// Whole files in memory, read-only, one behind the other in one range of addresses: so an offset
/// from the first one's data reaches the data of all.
class SafetensorsFile::Mapping {
 public:
  explicit Mapping(const std::vector<std::string>& paths) {
    std::vector<OpenFile> files;
    for (const std::string& path : paths) {
      files.emplace_back(path);
      places_.push_back({size_, files.back().size()});
      size_ += whole_pages(std::max<std::size_t>(files.back().size(), 1));
    }
    bytes_ = ::mmap(nullptr, size_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (bytes_ == MAP_FAILED) {
      throw InputError(fmt::format("{}: cannot read: {}", paths.front(), std::strerror(errno)));
    }
    for (std::size_t i = 0; i < files.size(); ++i) {
      char* place = static_cast<char*>(bytes_) + places_[i].first;
      if (files[i].size() > 0 && ::mmap(place, files[i].size(), PROT_READ, MAP_PRIVATE | MAP_FIXED,
                                        files[i].number(), 0) == MAP_FAILED) {
        const int error = errno;
        ::munmap(bytes_, size_);
        throw InputError(fmt::format("{}: cannot read: {}", paths[i], std::strerror(error)));
      }
    }
  }
  ~Mapping() { ::munmap(bytes_, size_); }
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;

  std::string_view file(std::size_t index) const {
    const auto& [offset, size] = places_[index];
    return size > 0 ? std::string_view(static_cast<const char*>(bytes_) + offset, size) : "";
  }

 private:
  void* bytes_ = MAP_FAILED;
  std::size_t size_ = 0;
  std::vector<std::pair<std::size_t, std::size_t>> places_;  ///< of each file: offset, size
};

// What is at `path` may be an index of several files, or a folder: see WeightParts. Then offsets
// count from the first file's data, and the metadata are the first one's.
SafetensorsFile::SafetensorsFile(const std::string& path) : path_(path) {
  const FileUse use("read", path);
  const WeightParts found = find_weight_parts(path);
  const auto mapping = std::make_shared<const Mapping>(found.files);
  mapping_ = mapping;
  for (std::size_t i = 0; i < found.files.size(); ++i) {
    const std::string& file = found.files[i];
    const SafetensorsParts parts = safetensors_parts(mapping->file(i), file);
    SafetensorsHeader header = parse_safetensors_header(parts.header, parts.data.size(), file);
    if (i == 0) {
      data_ = parts.data.data();
      metadata_ = std::move(header.metadata);
    }
    const auto before = static_cast<std::uint64_t>(parts.data.data() - data_);
    for (SafetensorsEntry& entry : header.entries) {
      entry.begin += before;
      entry.end += before;
      if (!index_.emplace(entry.name, entries_.size()).second) {
        throw InputError(fmt::format("{}: tensor \"{}\" is in another part of {} too", file,
                                     printable(entry.name), path));
      }
      entries_.push_back(std::move(entry));
    }
  }
  for (const auto& [tensor, part] : found.holders) {
    if (!index_.contains(tensor)) {
      throw InputError(fmt::format("{}: names tensor \"{}\", which {} does not hold", path,
                                   printable(tensor), found.files[part]));
    }
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
  bring_in(first, entry.end - entry.begin, path_);
  // from_blob has no notion of constant memory; the mapping itself refuses writes.
  return at::from_blob(
      const_cast<char*>(first), entry.shape,
      [mapping = mapping_](void*) mutable { mapping.reset(); }, at::TensorOptions(entry.dtype));
}

at::Tensor SafetensorsFile::copy(const SafetensorsEntry& entry) const {
  at::Tensor result = at::empty(entry.shape, entry.dtype);
  if (entry.end > entry.begin) {
    bring_in(data_ + entry.begin, entry.end - entry.begin, path_);
    std::memcpy(result.mutable_data_ptr(), data_ + entry.begin, entry.end - entry.begin);
  }
  return result;
}

}  // namespace thaw
