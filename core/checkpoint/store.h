#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "core/checkpoint/manifest.h"
#include "core/checkpoint/retention.h"

namespace thaw {

/// The folder that holds a run's checkpoints: see Note [A checkpoint's folder] in layout.h.
///
/// What changes it is for rank 0 alone, but for the files in a partial folder, of which each rank
/// writes its own. RunError where the disk refuses, InputError for what cannot be read.
class CheckpointStore {
 public:
  explicit CheckpointStore(std::filesystem::path folder) : folder_(std::move(folder)) {}

  const std::filesystem::path& path() const { return folder_; }
  std::filesystem::path path_of(CheckpointPlace place) const {
    return folder_ / folder_name(place);
  }
  std::filesystem::path partial_path_of(CheckpointPlace place) const;

  /// Of the complete ones, oldest first, unverified. Empty where there is no such folder.
  std::vector<CheckpointPlace> places() const;

  /// Makes the folder that the files of `place` are written to; any rank may call it. A link that
  /// stands in its place or in that of the folder of all is not followed: RunError.
  void open_partial(CheckpointPlace place) const;
  /// Completes the partial folder of `manifest.place`, all files of which are on the disk: looks
  /// whether all are there, writes the manifest, renames.
  void commit(const Manifest& manifest) const;
  /// Removes the partial folder.
  void discard(CheckpointPlace place) const noexcept;

  /// Removes what `rules` do not keep; what cannot be removed stays.
  void prune(const RetentionRules& rules) const noexcept;
  /// Renames a complete one so that it is never read again, but there for the user; its new path.
  std::filesystem::path set_aside(CheckpointPlace place) const;
  /// Removes what was set aside but for the `kSetAsideKept` that were written last: the paths that
  /// are gone.
  std::vector<std::filesystem::path> prune_set_aside() const;
  /// Where a process was killed while it put a checkpoint in the place of another one, and the file
  /// system cannot exchange two names: gives the new one, which is whole, its name.
  void finish_replacements() const noexcept;
  /// Removes what an interrupted run left half written or half removed.
  void clear_leftovers() const noexcept;

 private:
  std::filesystem::path removing_path_of(CheckpointPlace place) const;
  void remove(CheckpointPlace place) const noexcept;

  std::filesystem::path folder_;
};

/// Reads the manifest of the checkpoint in `folder`. Throws InputError; also where the folder's
/// name says another place than the manifest.
Manifest read_manifest(const std::filesystem::path& folder);

}  // namespace thaw
