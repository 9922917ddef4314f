#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "core/data/readable_file.h"

namespace thaw {

class Hdf5Dataset;

/// A folder of this user's alone below $TMPDIR (/tmp), made if it is not there. Throws `InputError`
/// where others could have put files into it.
std::string default_cache_folder();

/// Bytes that can be written to `folder`: free disk, or available memory where the folder is
/// memory.
std::int64_t room_in(const std::string& folder);

/// The elements of one HDF5 dataset, decoded and contiguous, in a file that later runs and other
/// processes of the host find again.
///
/// It counts only while the source has the path, size, time of modification and layout that it had
/// (a fingerprint of them is in its name and in its header). It appears under its name only when
/// complete, and is removed when its source has changed. One process decodes, those that come
/// meanwhile wait for it (a lock beside the file; where the file system has no locks, all decode
/// and one of the equal results stays).
class CacheFile {
 public:
  /// Text that says what this is, before the elements.
  static constexpr std::int64_t kHeaderBytes = 4096;

  CacheFile(std::string folder, const Hdf5Dataset& dataset);

  /// Opens the file; where there is none yet, has `decode` write the elements (to memory of
  /// `dataset.bytes()`) first. Throws `InputError`: no room, no permission.
  std::unique_ptr<ReadableFile> open(const std::function<void(std::byte*)>& decode);

 private:
  std::string path() const;
  std::string header() const;
  std::unique_ptr<ReadableFile> open_existing() const;
  void require_room() const;
  void write(const std::function<void(std::byte*)>& decode) const;
  void remove_others(bool partial_too) const;

  std::string folder_;
  std::string what_;    // file: dataset
  std::string source_;  // the same by its real path
  std::string stem_;    // of the names of all caches of this file and dataset
  std::string fingerprint_;
  std::int64_t bytes_;
};

}  // namespace thaw
