#pragma once

#include <ATen/core/Tensor.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "core/base/whole_file.h"

namespace thaw {

/// What a safetensors header says about one tensor, after it was checked against the file.
struct SafetensorsEntry {
  std::string name;
  at::ScalarType dtype = at::ScalarType::Undefined;
  std::vector<std::int64_t> shape;
  std::uint64_t begin = 0;  ///< bytes from the start of the data section
  std::uint64_t end = 0;
};

/// A safetensors file, mapped into memory: opening one reads its header alone.
///
/// The header is hostile input. Before memory is taken for anything it names, the constructor
/// checks that the header fits the file, is JSON of the right form without duplicate names, and
/// that the tensors fill the data section exactly: known dtypes, offsets that match shape times
/// dtype, no overlap, no gap, nothing missing at the end and nothing left over.
///
/// The file must not shrink while it is mapped (its pages would be gone: SIGBUS). Replacing it by
/// `rename`, as `write_safetensors` does, is safe. Thread-safe.
class SafetensorsFile {
 public:
  using Metadata = std::map<std::string, std::string>;

  /// Throws InputError naming the file and, where there is one, the tensor.
  explicit SafetensorsFile(const std::string& path);

  const std::string& path() const { return path_; }
  /// In the order of their data.
  const std::vector<SafetensorsEntry>& entries() const { return entries_; }
  /// The header's `__metadata__`.
  const Metadata& metadata() const { return metadata_; }

  /// The entry of that name, or null.
  const SafetensorsEntry* find(const std::string& name) const;

  /// A read-only view of the file's bytes: writing to it is a fault. It keeps the mapping alive,
  /// beyond this object. Where the data is not aligned to its dtype, a copy instead.
  at::Tensor view(const SafetensorsEntry& entry) const;
  /// A copy of its own.
  at::Tensor copy(const SafetensorsEntry& entry) const;

 private:
  class Mapping;

  std::string path_;
  std::shared_ptr<const Mapping> mapping_;
  const char* data_ = nullptr;
  Metadata metadata_;
  std::vector<SafetensorsEntry> entries_;
  std::unordered_map<std::string, std::size_t> index_;
};

/// One tensor to be written; `stored_as` converts on the way.
struct SafetensorsItem {
  std::string name;
  at::Tensor tensor;
  std::optional<at::ScalarType> stored_as;
};

/// Writes a safetensors file that appears at `path` complete or not at all: under a temporary name
/// beside it, flushed to disk, renamed. Items go out ordered by (dtype's size falling, name), so
/// equal contents give equal bytes, and one at a time: at most one tensor is copied at once, and
/// only if it is not contiguous, not on the host, or stored as another dtype.
/// Throws RunError if the disk refuses, InputError for a dtype that safetensors has no name for or
/// a name given twice.
void write_safetensors(const std::string& path, const std::vector<SafetensorsItem>& items,
                       const SafetensorsFile::Metadata& metadata = {{"format", "pt"}},
                       Lasting lasting = Lasting::kNow);

/// The same bytes handed to `sink` piece by piece, for who writes them otherwise. Throws what
/// `sink` throws, and InputError as above.
void write_safetensors(const std::function<void(const void* bytes, std::size_t size)>& sink,
                       const std::vector<SafetensorsItem>& items,
                       const SafetensorsFile::Metadata& metadata);

/// safetensors' name of a dtype ("F32"), or "" where it has none that Thaw supports.
std::string safetensors_dtype(at::ScalarType dtype);

}  // namespace thaw
