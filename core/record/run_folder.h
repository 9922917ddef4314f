#pragma once

#include <filesystem>
#include <string>

namespace thaw {

/// Where a run keeps what it writes. Only rank 0 writes.
class RunFolder {
 public:
  explicit RunFolder(std::filesystem::path path) : path_(std::move(path)) {}

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path resolved_configuration() const { return path_ / "config.resolved.toml"; }
  /// What the run is, and the files that this was found out from; no part of what makes a run.
  std::filesystem::path identity() const { return path_ / "identity.json"; }
  std::filesystem::path metrics() const { return path_ / "metrics.jsonl"; }
  std::filesystem::path summary() const { return path_ / "summary.json"; }
  std::filesystem::path last_weights() const { return path_ / "weights.safetensors"; }
  std::filesystem::path best_weights() const { return path_ / "weights.best.safetensors"; }
  /// What was measured of the last weights on a split.
  std::filesystem::path evaluation(const std::string& split) const {
    return path_ / ("evaluation." + split + ".json");
  }
  std::filesystem::path checkpoints() const { return path_ / "checkpoints"; }

  /// True if anything of a run is there.
  bool holds_a_run() const;
  /// Throws `InputError` where it is not, saying what is there instead.
  void require_run() const;

  /// Throws `InputError`, saying what to do, if a run is there or the folder could not be written;
  /// leaves nothing behind.
  void check_usable() const;
  /// The second half of it, for a run that goes on.
  void check_writable() const;

  /// Throws `InputError`, naming it, where a link or what is no plain file was planted in the place
  /// of the log, or a link in that of the folder of checkpoints. All else is only ever replaced.
  void check_unplanted() const;

  /// Creates the folder, so that it survives a power cut. Call after everything else was checked.
  void create() const;
  /// Removes files that killed runs have left half written beside their places. To be called by
  /// who holds the folder's lease alone: nobody else writes these names. Another program's files
  /// are let be.
  void remove_leftovers() const noexcept;

 private:
  std::filesystem::path path_;
};

}  // namespace thaw
