#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <future>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "core/base/stopwatch.h"
#include "core/checkpoint/snapshot.h"
#include "core/checkpoint/store.h"
#include "core/parallel/communicator.h"

namespace thaw {

/// What is saved at one step boundary.
struct CheckpointContent {
  Manifest about;                       ///< `files`, `ranks` and `written` are filled in
  std::string state;                    ///< JSON, rank 0's counts
  std::string configuration;            ///< TOML, rank 0's counts
  std::vector<NamedTensor> replicated;  ///< equal on all ranks, in the same order
  std::vector<NamedTensor> own;         ///< of this rank; names differ from rank to rank
  std::set<std::string> constant = {};  ///< of them, that nobody writes to: kept, not copied
  std::int64_t room_on_gpu = 0;  ///< bytes that copies may take there: Note [Snapshots of a GPU]
};

/// What became of a checkpoint, on every rank alike but for the figures, which are this rank's.
struct SaveReport {
  CheckpointPlace place;
  double epoch = 0;
  std::string stage;
  std::string path;
  std::string problem;       ///< "" where it is complete and on the disk
  std::int64_t bytes = 0;    ///< of all files; rank 0 alone knows
  double stall_seconds = 0;  ///< in which training stood still for it
  double seconds = 0;        ///< from its beginning until it was complete
};

/// Saves checkpoints together with the savers of the other ranks, by default beside training.
///
/// See Note [Two rounds beside training] in saver.cpp. Belongs to the training thread; everything
/// but `under_way`, `ready`, `wait_for_copies` and `slowest_seconds` is a collective.
class CheckpointSaver {
 public:
  struct Settings {
    RetentionRules keep = {};
    bool asynchronous = true;
    /// Called now and then while this rank waits for its disk and that makes progress.
    std::function<void()> progress = {};
    /// Called before this rank writes or removes anything, on any thread; throws where that must
    /// not be any longer, and there is no checkpoint then.
    std::function<void()> may_write = {};
  };
  CheckpointSaver(CheckpointStore store, Communicator& communicator, Settings settings);
  /// Waits for this rank's part of one under way, which stays incomplete.
  ~CheckpointSaver();

  const CheckpointStore& store() const { return store_; }

  /// Takes a copy of the content, after the one under way is complete, and returns while it is
  /// written; without `asynchronous`, when it is complete.
  void save(const CheckpointContent& content);

  /// Whether a checkpoint is not complete yet; equal on all ranks.
  bool under_way() const { return phase_ != Phase::kIdle; }
  /// Whether this rank has done what it can without the others. Returns at once; no collective.
  bool ready() const;
  /// To be called once all ranks are `ready`.
  void advance();
  /// Waits until copies of this rank's have left its GPU: before steps that may need their room.
  void wait_for_copies() const { copied_.wait(false); }
  /// Waits until nothing is under way.
  void finish();

  /// What has become of checkpoints since the last call.
  std::vector<SaveReport> take_reports() { return std::exchange(reports_, {}); }
  /// The longest that one took so far to be complete, on this rank.
  double slowest_seconds() const { return slowest_seconds_; }

 private:
  enum class Phase { kIdle, kWriting, kCommitting };
  /// What a thread beside training comes to: an encoded list of files, or a problem.
  struct Result {
    std::vector<FileRecord> files;
    std::string problem;
  };

  Result write_part();
  Result commit(const std::string& problem) const;
  void end_writing();
  void end_committing();
  void start(std::function<Result()> work);
  Result wait();

  CheckpointStore store_;
  Communicator& communicator_;
  Settings settings_;
  Snapshot snapshot_;
  std::atomic<bool> copied_ = true;  ///< what is under way is in host memory, or has failed
  Phase phase_ = Phase::kIdle;
  Manifest manifest_;  ///< of the one under way
  std::string state_, configuration_;
  std::future<Result> work_;  ///< invalid where this rank has nothing to do
  mutable std::atomic<std::uint64_t> bytes_written_ = 0;
  Stopwatch since_begin_;
  double stall_seconds_ = 0;
  double slowest_seconds_ = 0;
  std::vector<SaveReport> reports_;
};

}  // namespace thaw
