#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <string>
#include <thread>

namespace thaw {

/// What a rank's training thread is at.
enum class RankPhase : std::uint8_t {
  kStartUp,     ///< reads configuration, data and weights
  kTransition,  ///< into a stage
  kData,        ///< of a step: waits for the loader
  kCompute,     ///< of a step: forward and backward
  kReduction,   ///< of a step: what backward left to do of averaging gradients
  kUpdate,      ///< of a step: optimizer
  kAudit,       ///< compares weights over the ranks
  kEvaluation,
  kSaving,
  kEnding,  ///< all is done; waits for the others to be there too
};

/// What a rank's training thread waits for other ranks in; said with each heartbeat.
enum class CollectiveKind : std::uint8_t {
  kNone,
  kSum,
  kBroadcast,
  kGather,
  kBarrier,
  kSplit,
  kMessage,  ///< from one rank to another: no collective, but waits for a rank like one
};

/// Where a rank is, as its heartbeats tell.
struct RankPlace {
  RankPhase phase = RankPhase::kStartUp;
  bool waits = false;  ///< its training thread is in a collective, or only waits for gradients
  CollectiveKind call = CollectiveKind::kNone;  ///< the collective that it is in
  std::uint64_t call_bytes = 0;
  std::uint64_t order = 0;   ///< places passed so far: the same sequence on all ranks
  std::int64_t step = 0;     ///< the step it is in, or the last one; counted from 1
  std::int64_t bucket = -1;  ///< of gradients: the last one named in this step; -1: none yet
  std::string stage;         ///< "" before the first
};

/// For how long a rank may hold up others, in seconds; 0: for ever.
struct Deadlines {
  double hang = 0;        ///< in steps; and for a sign of life at any time
  double transition = 0;  ///< in transitions and at start-up
};

/// A rank's notice-board: its training thread says where it is, and whoever watches the rank reads
/// it (dist/coordination/watchdog.h). Costs a few atomic writes a call, and a lock at transitions
/// only; a job of one rank writes to one that nobody reads.
///
/// `stage`, `step` and `phase` are called by all ranks alike, in the same order: the number of
/// calls so far tells which rank is ahead. `bucket`, `tick` and collectives may come from any
/// thread; everything counts as progress. Reading is for any thread.
class StepMonitor {
 public:
  /// Belongs to the thread that makes it: only what that thread waits for counts as waiting.
  StepMonitor() : owner_(std::this_thread::get_id()) {}
  StepMonitor(const StepMonitor&) = delete;
  StepMonitor& operator=(const StepMonitor&) = delete;

  /// A transition into the stage of this name begins.
  void stage(const std::string& name);
  /// The step of this number begins, with its data.
  void step(std::int64_t number);
  void phase(RankPhase phase);
  /// Gradients of the bucket of this number are about to be summed. Any thread.
  void bucket(std::int64_t number);
  /// Something else went forward: for long phases. Any thread.
  void tick() { progress_.fetch_add(1, std::memory_order_release); }

  /// A collective is under way while an instance lives.
  class Collective {
   public:
    Collective(StepMonitor& monitor, CollectiveKind kind, std::uint64_t bytes = 0);
    ~Collective();
    Collective(const Collective&) = delete;
    Collective& operator=(const Collective&) = delete;

   private:
    StepMonitor& monitor_;
    bool waits_;
  };

  RankPlace place() const;
  /// Changes whenever anything above is called.
  std::uint64_t progress() const { return progress_.load(std::memory_order_acquire); }

 private:
  const std::thread::id owner_;
  std::atomic<std::uint64_t> progress_ = 0;
  std::atomic<std::uint64_t> order_ = 0;
  std::atomic<RankPhase> phase_ = RankPhase::kStartUp;
  std::atomic<std::int64_t> step_ = 0;
  std::atomic<std::int64_t> bucket_ = -1;
  std::atomic<CollectiveKind> call_ = CollectiveKind::kNone;
  std::atomic<std::uint64_t> call_bytes_ = 0;
  mutable std::mutex mutex_;
  std::string stage_;  ///< guarded by `mutex_`
};

}  // namespace thaw
