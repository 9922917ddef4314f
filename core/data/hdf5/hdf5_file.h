#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/data/hdf5/hdf5_dataset.h"
#include "core/data/hdf5/hdf5_handle.h"

namespace thaw {

/// An HDF5 file open for reading. HDF5 datasets taken from it stay usable after it is gone.
class Hdf5File {
 public:
  /// Throws `InputError`: no such file, not readable, not HDF5, damaged, being written.
  explicit Hdf5File(const std::string& path);

  const std::string& path() const { return path_; }

  /// Names of the HDF5 groups, or of everything, in HDF5 group `group`; sorted.
  std::vector<std::string> groups_in(const std::string& group) const;
  std::vector<std::string> names_in(const std::string& group) const;

  /// `name`: as `/train/tokens`.
  Hdf5Dataset dataset(const std::string& name) const;

  /// Attributes of the file (of its root group).
  std::vector<std::string> attribute_names() const;
  /// A list of strings, of fixed or variable length; nothing where there is no such attribute.
  /// Throws `InputError` where it is anything else.
  std::optional<std::vector<std::string>> strings(const std::string& attribute) const;
  /// One string, likewise.
  std::optional<std::string> text(const std::string& attribute) const;
  /// A number or a list of numbers of any dtype, likewise.
  std::optional<std::vector<double>> numbers(const std::string& attribute) const;
  /// The value in a few words, for people; "" where it is neither text nor numbers.
  std::string attribute_text(const std::string& attribute) const;

 private:
  std::string where(const std::string& attribute) const;
  bool has_attribute(const std::string& attribute) const;

  std::string path_;
  std::int64_t bytes_ = 0;
  Hdf5Handle handle_;
};

}  // namespace thaw
