#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace thaw {

// Note [A checkpoint's folder]
// RUN/checkpoints/ holds a folder a checkpoint. While one is written its name ends in ".partial";
// the manifest, written last, and a rename make it complete. So whatever happens at whatever
// instant, a folder with a complete name holds everything that its manifest lists, and the newest
// one that verifies is what a run resumes from.
//
//   step-000000500/                 after 500 committed steps, inside a stage
//   step-000000600-transition/      after the last step of a stage
//     manifest.json                 what it is; name, size and checksum of each file; its own
//     state.json                    where training stood
//     config.resolved.toml          the configuration, in full
//     shard-0-of-2.safetensors ...  the tensors; each rank wrote its own
//
// What is no such name is never read: ".partial", ".removing" (half deleted), "set-aside." (newer
// than what a run resumed from, or damaged; the last few are kept for the user to look at).

inline constexpr const char* kManifestFile = "manifest.json";
inline constexpr const char* kStateFile = "state.json";
inline constexpr const char* kConfigurationFile = "config.resolved.toml";
inline constexpr const char* kPartialSuffix = ".partial";
inline constexpr const char* kRemovingSuffix = ".removing";
inline constexpr const char* kSetAsidePrefix = "set-aside.";
inline constexpr std::size_t kSetAsideKept = 3;

/// When a checkpoint was taken: what its folder's name tells.
struct CheckpointPlace {
  std::int64_t step = 0;    ///< committed steps
  bool transition = false;  ///< a stage had ended

  /// By age: what was taken at a transition comes after what was taken within the same step.
  // What the compiler makes of it compares with a literal 0. NOLINTNEXTLINE(modernize-use-nullptr)
  friend auto operator<=>(const CheckpointPlace&, const CheckpointPlace&) = default;
};

std::string folder_name(CheckpointPlace place);
/// Nothing where it is no name of a complete checkpoint.
std::optional<CheckpointPlace> parse_folder_name(std::string_view name);

/// Of the file that rank `rank` of `ranks` writes.
std::string shard_file(int rank, int ranks);

}  // namespace thaw
