#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/checkpoint/store.h"
#include "core/models/weights/safetensors.h"
#include "core/parallel/communicator.h"
#include "core/parallel/stage_coordinator.h"

namespace thaw {

/// A complete checkpoint, every byte of which was verified, open for reading on all ranks.
///
/// Each rank verifies and reads a part of the files and hands their tensors to the others, so that
/// the disk is read once, whatever the number of ranks then and now.
class CheckpointReader {
 public:
  /// A collective. Throws InputError on all ranks, saying which file is wrong and how.
  CheckpointReader(std::filesystem::path folder, Communicator& communicator);
  ~CheckpointReader();
  CheckpointReader(const CheckpointReader&) = delete;
  CheckpointReader& operator=(const CheckpointReader&) = delete;

  const std::filesystem::path& folder() const { return folder_; }
  const Manifest& manifest() const { return manifest_; }
  const std::string& state() const { return state_; }
  const std::string& configuration() const { return configuration_; }

  /// What is known of a tensor on all ranks.
  struct Entry {
    std::string name;
    at::ScalarType dtype = at::ScalarType::Undefined;
    std::vector<std::int64_t> shape;
    int reader = 0;  ///< rank that reads it
  };
  /// Of all tensors, by name.
  const std::map<std::string, Entry>& entries() const { return entries_; }

  /// A collective, with the same names in the same order on all ranks: overwrites the tensors with
  /// what the checkpoint holds under their names; any device. Throws InputError on all ranks,
  /// naming what is missing or of another shape or type, before anything is touched.
  void load(std::span<const NamedTensor> tensors) const;
  /// A collective: a copy of one tensor, in host memory.
  at::Tensor load(const std::string& name) const;

 private:
  void check(std::span<const NamedTensor> tensors) const;

  std::filesystem::path folder_;
  Communicator& communicator_;
  Manifest manifest_;
  std::string state_, configuration_;
  std::vector<SafetensorsFile> shards_;  ///< that this rank reads
  std::map<std::string, Entry> entries_;
};

/// A checkpoint that was passed over, and why.
struct RejectedCheckpoint {
  CheckpointPlace place;
  std::string reason;
};

/// A collective: the newest checkpoint of `store` that is good, or null where there is none. Adds
/// those that it passed over to `rejected`.
std::unique_ptr<CheckpointReader> open_newest(const CheckpointStore& store,
                                              Communicator& communicator,
                                              std::vector<RejectedCheckpoint>& rejected);

}  // namespace thaw
