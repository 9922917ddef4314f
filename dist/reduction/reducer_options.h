#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/config/choices.h"

namespace thaw {

class GradientHook;
class StepMonitor;
struct Fact;

/// How gradients are put into buckets; equal on all ranks, or they disagree at the transition.
struct BucketOptions {
  /// Bytes at which a bucket is closed; 0: follows the active bytes (see `bucket_cap`).
  std::int64_t cap_bytes = 0;
  /// Bytes at which the first bucket is closed, so that sending starts early; 0: follows the cap.
  std::int64_t first_cap_bytes = 0;
  /// Whether gradients of which few rows are touched may travel by rows.
  bool by_rows = true;
};

/// What the losses of an own loop are means over, which decides how gradients are weighted.
enum class LossMean : std::uint8_t {
  /// The losses of a step add up to the mean over this rank's samples of the step: one loss, or
  /// micro-batches whose losses were divided by their number, as for DistributedDataParallel.
  kStep,
  /// Each backward's loss is the mean over the samples of its own `forward` (or `announce`):
  /// micro-batches of any sizes, and nothing is divided by hand.
  kForward,
};

/// What a DataParallel does beside reducing; equal on all ranks.
struct LoopOptions {
  LossMean loss_mean = LossMean::kStep;
  /// After each step all ranks get the buffers of the first rank that took part in it.
  bool broadcast_buffers = false;
  /// Seconds for which a rank may hold up the others before the job ends with status 4, naming it;
  /// 0: for ever. For MPI jobs, where no `monitor` is given.
  double deadline = 1800;
};

/// What a DataParallel tells the reducer of the step under way.
struct StepRules {
  std::string fault;           ///< of this rank: `finish` throws it on all
  bool refuse_unused = false;  ///< as Unused::kError; equal on all ranks
  /// Called in `finish` when all that is left to send lies in its place, before it is sent.
  std::function<void()> settled;
};

/// What a reducer goes by; equal on all ranks but for the pointers.
struct ReducerOptions {
  BucketOptions buckets = {};
  Overlap overlap = Overlap::kAuto;
  /// Where nothing is said: kAllow; but steps of a DataParallel that `forward` announces refuse.
  std::optional<Unused> unused = std::nullopt;
  std::int64_t shards = 0;  ///< > 0: no buckets, but the canonical sum over so many shards
  /// Not kNone: each rank gets its slice of the sums alone (Note [Sharded state]). Without a hook.
  Sharding sharding = Sharding::kNone;
  StepMonitor* monitor = nullptr;  ///< is told each bucket that leaves; may be null
  /// Sums buckets in its own way, by the same kind on all ranks; may be null. Nothing travels by
  /// rows then. A rank that trains alone sends nothing and calls none.
  std::shared_ptr<GradientHook> hook = nullptr;
  LoopOptions loop = {};             ///< of a DataParallel
  const StepRules* rules = nullptr;  ///< a DataParallel's own: leave it null
};

/// What must be equal on all ranks, but for the buckets' sizes, which their maps tell.
std::vector<Fact> facts_of(const ReducerOptions& options);

}  // namespace thaw
