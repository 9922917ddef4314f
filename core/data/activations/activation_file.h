#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/base/hash.h"
#include "core/data/activations/activation_layout.h"

namespace thaw {

class ReadableFile;

// Note [Files of activations]
// What the first groups of a network make of each sample of a split: one HDF5 file a place in the
// network, for whoever comes with the same network and the same data. `values` holds the rows of
// all samples one after another (tokens x width, or N x C x H x W as they lie in memory), `offsets`
// the first row of each sample, `checks` a fingerprint for each piece of the values. The file is
// made under another name in the same folder, with all its room taken first, and gets its own when
// everything is on the disk: so a process that is killed, or a full disk, leaves nothing behind
// that anybody would read. It is read without HDF5: a block of text before HDF5's own part says
// what the file is of and where values and checks lie, so that a damaged file is found to be one
// before any library looks into it. The text is compared whole, the checks by their own
// fingerprint, each piece of values when it is first touched (Note [Decoded data is checked]).

/// What a file of activations holds, and of what.
struct ActivationSpec {
  std::string name;  ///< the beginning of the file's name, for people: "train.encoder.4"
  std::string key;   ///< all that decides the values, as text
  ActivationLayout layout;
  std::vector<std::int64_t> offsets;  ///< see row_offsets

  std::int64_t samples() const { return static_cast<std::int64_t>(offsets.size()) - 1; }
  std::int64_t value_bytes() const { return offsets.back() * layout.row_bytes(); }
};

/// See Note [Files of activations]. Not thread-safe; several processes may use one path.
class ActivationFile {
 public:
  /// Text before HDF5's part.
  static constexpr std::int64_t kHeaderBytes = 4096;
  /// How the names of such files end.
  static constexpr const char* kEnding = ".activations.h5";
  /// What follows in those of unfinished ones, before the host's name and the process's number.
  static constexpr const char* kUnfinished = ".partial.";

  ActivationFile(std::string folder, ActivationSpec spec);

  const ActivationSpec& spec() const { return spec_; }
  const std::string& path() const { return path_; }
  /// Of a lock beside the file, for whoever makes it.
  std::string lock_path() const { return path_ + ".lock"; }

  struct Opened {
    std::shared_ptr<const ReadableFile> file;
    std::int64_t address = 0;  ///< of the values
    std::vector<Fingerprint> checks;
  };
  /// Nothing where there is no such file, or none that is whole.
  std::optional<Opened> open() const;

  /// Makes an unfinished file with room for everything, and returns its path. Throws `InputError`:
  /// no room, no permission.
  std::string begin() const;
  /// Bytes of a file, roughly, before there is one.
  std::int64_t file_bytes() const;

 private:
  std::string header(std::int64_t values, std::int64_t checks, const std::string& checked) const;

  friend class UnfinishedActivations;
  ActivationSpec spec_;
  std::string path_;
  std::string fingerprint_;
};

/// An unfinished file, which one or several processes of a host fill.
class UnfinishedActivations {
 public:
  /// Opens what `begin` returned. Throws `InputError`.
  UnfinishedActivations(const ActivationFile& file, std::string path);
  ~UnfinishedActivations();
  UnfinishedActivations(const UnfinishedActivations&) = delete;
  UnfinishedActivations& operator=(const UnfinishedActivations&) = delete;

  /// The rows of samples from `first` on, as `laid_out` returns them. Throws `InputError`: full
  /// disk.
  void write(std::int64_t first, const at::Tensor& rows) const;
  /// Of the pieces [first, last), read back.
  std::vector<Fingerprint> checks(std::int64_t first, std::int64_t last) const;
  std::int64_t pieces() const;
  /// By one process, when all have written: makes it the file, whole and on the disk.
  void finish(std::span<const Fingerprint> checks) const;

 private:
  void write_bytes(std::int64_t at, const void* bytes, std::size_t size) const;

  const ActivationFile& file_;
  std::string path_;
  int descriptor_ = -1;
  std::int64_t values_ = 0, checks_ = 0;  ///< addresses
};

/// Whether nothing has been written to an unfinished file for a day.
bool is_forgotten(const std::string& path);

/// Removes unfinished files of `file` that this host left behind, and other hosts' that are
/// forgotten. Call with the file claimed.
void remove_unfinished(const ActivationFile& file);

}  // namespace thaw
