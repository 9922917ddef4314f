#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/data/hdf5/hdf5_handle.h"

namespace thaw {

class Hdf5File;

/// An HDF5 dataset: an array in a file. Rows are its first dimension.
class Hdf5Dataset {
 public:
  /// The file that really holds it (a link may lead to another than the one opened).
  const std::string& file() const { return file_; }
  /// As `/train/tokens`.
  const std::string& name() const { return name_; }
  /// `file: name`, for messages.
  std::string where() const { return file_ + ": " + name_; }

  const std::vector<std::int64_t>& shape() const { return shape_; }
  std::int64_t rows() const { return shape_.empty() ? 1 : shape_.front(); }
  std::int64_t elements() const { return elements_; }
  /// As numpy names it: `int32`, `uint8`, `float32`; else a description that is none of numpy's.
  const std::string& type() const { return type_; }
  std::int64_t element_bytes() const { return element_bytes_; }
  /// Bytes of all elements. Checked not to overflow; not checked against the file.
  std::int64_t bytes() const { return elements_ * element_bytes_; }

  /// Where the elements lie in `file`, one after another; nothing where they are chunked, compact,
  /// elsewhere (external, virtual) or were never written.
  std::optional<std::int64_t> address() const { return address_; }
  /// Whether all elements lie in `file`, and not in others that it names (external, virtual).
  bool in_its_file() const { return storage_ != "external" && storage_ != "virtual"; }
  /// Shape of a chunk; empty where the dataset is not chunked.
  const std::vector<std::int64_t>& chunk() const { return chunk_; }
  /// For people: `contiguous`, `chunks of 64 x 3 x 8 x 8, shuffle, gzip`.
  std::string layout() const;

  /// Throws `InputError` where the dataset is so much larger than what is stored of it that no
  /// filter explains it, or where a filter is missing.
  void require_credible() const;

  /// Copies rows [first, last) to `memory`. Throws `Hdf5Error`.
  void read_rows(std::int64_t first, std::int64_t last, std::byte* memory) const;

 private:
  friend class Hdf5File;
  Hdf5Dataset(std::int64_t file, const std::string& path, const std::string& name);
  void find_shape();
  void find_type();
  void find_storage();
  void find_filters(std::int64_t creation);
  std::int64_t most_compression() const;

  std::string file_;
  std::string name_;
  Hdf5Handle handle_;
  Hdf5Handle file_type_;
  std::vector<std::int64_t> shape_;
  std::int64_t elements_ = 1;
  std::string type_;
  std::int64_t element_bytes_ = 0;
  std::string storage_;  // contiguous, chunked, compact, external, virtual
  std::int64_t stored_bytes_ = 0;
  std::optional<std::int64_t> address_;
  std::vector<std::int64_t> chunk_;
  std::int64_t chunk_bytes_ = 0;
  std::vector<std::string> filters_;
  std::string missing_filter_;
};

}  // namespace thaw
