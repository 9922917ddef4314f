#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/base/hash.h"
#include "core/data/cache/data_cache.h"
#include "core/data/hdf5/readable_file.h"

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
/// It counts only while the source is the file that it was (path, file system, inode, size, times
/// of modification and change) with the same layout: a fingerprint of them is in its name and in
/// its header. Fingerprints of its pieces follow the elements (Note [Decoded data is checked]),
/// and their own is in the header. It appears under its name only when
/// complete, and is removed when its source has changed. One process decodes, those that come
/// meanwhile wait for it and tell its progress (a lock beside the file, which holds the bytes done;
/// where the file system has no locks, all decode and one of the equal results stays). A folder
/// that does not answer is noticed: Note [A watched cache].
class CacheFile {
 public:
  /// Text that says what this is, before the elements.
  static constexpr std::int64_t kHeaderBytes = 4096;

  /// Writes the elements to memory of `dataset.bytes()`, as `decode` does.
  using Decode = std::function<void(std::byte* memory, const DecodeCalls& calls)>;

  /// `progress` is told what this process or the one it waits for has done.
  CacheFile(std::string folder, const Hdf5Dataset& dataset, DecodeProgress progress);

  // The device's number is no part of that: it differs from host to host, and after a reboot, for
  // one and the same network file system. The file system's own id does not.

  /// Opens the file; where there is none yet, has `decode` make it first. Throws `InputError`: no
  /// room, no permission.
  std::unique_ptr<ReadableFile> open(const Decode& decode);

  /// The fingerprints of the pieces of the file that was opened.
  const std::vector<Fingerprint>& checks() const { return checks_; }

 private:
  std::string path() const;
  std::string header(const std::vector<Fingerprint>& checks) const;
  std::int64_t file_bytes() const;
  std::unique_ptr<ReadableFile> open_existing();
  void require_room() const;
  void make_folder() const;
  /// `told`: after each piece, how many bytes are done.
  void write(const Decode& decode, const std::function<void(std::int64_t)>& told) const;
  void tell(std::int64_t done) const;
  void remove_others(bool partial_too) const;

  std::string folder_;
  std::string what_;    // file: dataset
  std::string source_;  // the same by its real path
  std::string stem_;    // of the names of all caches of this file and dataset
  std::string fingerprint_;
  std::int64_t bytes_;
  std::vector<Fingerprint> checks_;
  DecodeProgress progress_;
};

}  // namespace thaw
