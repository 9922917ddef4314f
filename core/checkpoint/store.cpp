#include "core/checkpoint/store.h"

#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <string_view>
#include <system_error>
#include <utility>

#include "core/base/error.h"
#include "core/base/file_use.h"
#include "core/checkpoint/durable_file.h"

namespace thaw {
namespace fs = std::filesystem;
namespace {

void rename_folder(const fs::path& from, const fs::path& to) {
  const FileUse use("rename", from.native());
  std::error_code error;
  fs::rename(from, to, error);
  if (error) {
    throw RunError(fmt::format("{}: cannot be renamed to {}: {}", from.string(),
                               to.filename().string(), error.message()));
  }
}

/// Gives each the other's name, with no instant without either; false where the file system cannot.
bool exchange(const fs::path& one, const fs::path& other) {
  const FileUse use("rename", one.native());
  return ::renameat2(AT_FDCWD, one.c_str(), AT_FDCWD, other.c_str(), RENAME_EXCHANGE) == 0;
}

bool is_leftover(const std::string& name) {
  return name.starts_with("step-") &&
         (name.ends_with(kPartialSuffix) || name.ends_with(kRemovingSuffix));
}

std::vector<std::string> names_in(const fs::path& folder) {
  std::vector<std::string> names;
  std::error_code error;
  for (fs::directory_iterator each(folder, error), end; !error && each != end;
       each.increment(error)) {
    names.push_back(each->path().filename().string());
  }
  return names;
}

/// Where hosts do not share the folder, rank 0 does not see what others have written.
void check_present(const fs::path& folder, const FileRecord& file) {
  std::error_code error;
  const std::uintmax_t bytes = fs::file_size(folder / file.name, error);
  if (error || bytes != file.bytes) {
    throw RunError(fmt::format(
        "{}: was written by its rank but is not there{}; the run folder must be one that all hosts "
        "share",
        (folder / file.name).string(), error ? "" : " with all its bytes"));
  }
}

}  // namespace

fs::path CheckpointStore::partial_path_of(CheckpointPlace place) const {
  return folder_ / (folder_name(place) + kPartialSuffix);
}

fs::path CheckpointStore::removing_path_of(CheckpointPlace place) const {
  return folder_ / (folder_name(place) + kRemovingSuffix);
}

std::vector<CheckpointPlace> CheckpointStore::places() const {
  std::vector<CheckpointPlace> places;
  for (const std::string& name : names_in(folder_)) {
    if (const auto place = parse_folder_name(name)) places.push_back(*place);
  }
  std::sort(places.begin(), places.end());
  return places;
}

void CheckpointStore::open_partial(CheckpointPlace place) const {
  std::error_code error;
  const fs::path partial = partial_path_of(place);
  const FileUse use("create", partial.native());
  try {
    refuse_planted(folder_, /*folder=*/true);
    refuse_planted(partial, /*folder=*/true);
  } catch (const InputError& planted) {
    throw RunError(planted.what());
  }
  const bool is_first = !fs::exists(folder_, error);
  fs::create_directories(partial, error);
  if (error && !fs::is_directory(partial)) {
    throw RunError(fmt::format("{}: cannot be created: {}", partial.string(), error.message()));
  }
  if (is_first) flush_folder(folder_.has_parent_path() ? folder_.parent_path() : ".");
}

void CheckpointStore::commit(const Manifest& manifest) const {
  const fs::path partial = partial_path_of(manifest.place);
  for (const FileRecord& file : manifest.files) check_present(partial, file);
  flush_folder(partial);
  write_durable_text(partial / kManifestFile, manifest_text(manifest));
  flush_folder(partial);
  const fs::path whole = path_of(manifest.place);
  if (!fs::exists(whole)) {
    rename_folder(partial, whole);
    flush_folder(folder_);
    return;
  }
  if (exchange(partial, whole)) {
    flush_folder(folder_);
    discard(manifest.place);  // what it replaced has the partial one's name now
    return;
  }
  // Killed between the two, neither has the name; but the new one is whole: `finish_replacements`.
  const fs::path replaced = removing_path_of(manifest.place);
  std::error_code ignored;
  rename_folder(whole, replaced);
  try {
    rename_folder(partial, whole);
  } catch (const RunError&) {
    fs::rename(replaced, whole, ignored);
    throw;
  }
  flush_folder(folder_);
  fs::remove_all(replaced, ignored);
}

void CheckpointStore::discard(CheckpointPlace place) const noexcept {
  std::error_code ignored;
  fs::remove_all(partial_path_of(place), ignored);
}

void CheckpointStore::remove(CheckpointPlace place) const noexcept {
  // Renamed first: half of a checkpoint must not have the name of a whole one.
  std::error_code error;
  const fs::path removing = removing_path_of(place);
  fs::rename(path_of(place), removing, error);
  if (!error) fs::remove_all(removing, error);
}

void CheckpointStore::prune(const RetentionRules& rules) const noexcept {
  try {
    std::vector<StoredCheckpoint> stored;
    for (const CheckpointPlace place : places()) {
      try {
        stored.push_back({place, read_manifest(path_of(place)).evaluation_loss});
      } catch (const InputError&) {
        // A damaged one takes no other one's place, and is the user's to look at.
      }
    }
    for (const CheckpointPlace place : superfluous(stored, rules)) remove(place);
  } catch (const std::exception&) {
    // Too many checkpoints harm nobody.
  }
}

fs::path CheckpointStore::set_aside(CheckpointPlace place) const {
  fs::path aside = folder_ / (kSetAsidePrefix + folder_name(place));
  for (int i = 2; fs::exists(aside); ++i) {
    aside = folder_ / fmt::format("{}{}.{}", kSetAsidePrefix, folder_name(place), i);
  }
  rename_folder(path_of(place), aside);
  return aside;
}

std::vector<fs::path> CheckpointStore::prune_set_aside() const {
  std::vector<std::pair<fs::file_time_type, fs::path>> aside;
  for (const std::string& name : names_in(folder_)) {
    std::error_code error;
    if (!name.starts_with(kSetAsidePrefix)) continue;
    const fs::file_time_type written = fs::last_write_time(folder_ / name, error);
    if (!error) aside.emplace_back(written, folder_ / name);
  }
  std::sort(aside.begin(), aside.end());
  std::vector<fs::path> gone;
  for (std::size_t i = 0; i + kSetAsideKept < aside.size(); ++i) {
    std::error_code error;
    fs::remove_all(aside[i].second, error);
    if (!error) gone.push_back(aside[i].second);
  }
  return gone;
}

void CheckpointStore::finish_replacements() const noexcept {
  constexpr std::string_view kSuffix = kRemovingSuffix;
  for (const std::string& name : names_in(folder_)) {
    if (!name.ends_with(kSuffix)) continue;
    const auto place = parse_folder_name(name.substr(0, name.size() - kSuffix.size()));
    std::error_code ignored;
    if (!place || fs::exists(path_of(*place), ignored)) continue;
    const fs::path partial = partial_path_of(*place);
    if (!fs::is_directory(fs::symlink_status(partial, ignored))) continue;
    // Which is written last; without it this is what a prune has begun to remove.
    if (!fs::exists(partial / kManifestFile, ignored)) continue;
    fs::rename(partial, path_of(*place), ignored);
  }
}

void CheckpointStore::clear_leftovers() const noexcept {
  for (const std::string& name : names_in(folder_)) {
    std::error_code ignored;
    if (is_leftover(name)) fs::remove_all(folder_ / name, ignored);
  }
}

Manifest read_manifest(const fs::path& folder) {
  const fs::path path = folder / kManifestFile;
  Manifest manifest = parse_manifest(read_small_file(path, kLongestManifest), path.string());
  // A checkpoint that was copied elsewhere may have any name but that of another one.
  const auto named = parse_folder_name(folder.filename().string());
  if (named && *named != manifest.place) {
    throw InputError(
        fmt::format("{}: is the manifest of {}", path.string(), folder_name(manifest.place)));
  }
  return manifest;
}

}  // namespace thaw
