#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "core/checkpoint/layout.h"

namespace thaw {

/// A file of a checkpoint as its manifest lists it.
struct FileRecord {
  std::string name;
  std::uint64_t bytes = 0;
  std::string checksum;  ///< XXH3, 128 bits, of all its bytes; 32 hexadecimal digits

  friend bool operator==(const FileRecord&, const FileRecord&) = default;
};

void to_json(nlohmann::ordered_json& json, const FileRecord& file);
void from_json(const nlohmann::ordered_json& json, FileRecord& file);

/// What a checkpoint is and which files make it up: all that choosing, listing and keeping
/// checkpoints need. Written last, it makes a checkpoint complete.
struct Manifest {
  CheckpointPlace place;
  double epoch = 0;
  std::string stage;  ///< that the last step belonged to; "" before the first
  /// Loss of the evaluation made at this very step, where one was.
  std::optional<double> evaluation_loss;
  int ranks = 1;
  std::string written;  ///< when: "2026-05-01T12:00:00Z"
  std::string version;  ///< of Thaw
  std::vector<FileRecord> files;

  friend bool operator==(const Manifest&, const Manifest&) = default;
};

void to_json(nlohmann::ordered_json& json, const Manifest& manifest);
void from_json(const nlohmann::ordered_json& json, Manifest& manifest);

/// Longest manifest that is read: a list of files, so small.
inline constexpr std::uint64_t kLongestManifest = 16 << 20;

/// JSON that ends in a checksum over all of itself, and so over the checksums of all files.
std::string manifest_text(const Manifest& manifest);

/// Reads `text`, which is hostile: throws InputError, beginning with `path`, where a byte of it is
/// not as `manifest_text` wrote it, where it is of a later version, or where its files are not just
/// those that a checkpoint of so many ranks has.
Manifest parse_manifest(const std::string& text, const std::string& path);

/// The names of the files that a checkpoint of `ranks` ranks has, manifest aside, in the order in
/// which they are listed.
std::vector<std::string> expected_files(int ranks);

}  // namespace thaw
