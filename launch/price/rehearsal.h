#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/schedule/schedule.h"

namespace thaw {

class Communicator;
struct DataOptions;
struct RunSetup;
struct TrainOptions;

/// A step of a rehearsal, as the run's log would have it.
struct RehearsedStep {
  std::int64_t samples = 0;  ///< global
  double load = 0;           ///< of the rank that has the most: see DataLoads
  double seconds = 0;
  double forward = 0, backward = 0;  ///< of it; on a GPU all that is computed counts as forward
  double optimizer = 0, data = 0, exposed = 0;
  double gap = 0;           ///< since what was told before: what stands between two steps
  std::int64_t bytes = 0;   ///< reduced
  std::int64_t cursor = 0;  ///< samples of the narrowed split that were consumed before
};

/// What a stage came to.
struct RehearsedStage {
  std::string name = {};
  std::vector<RehearsedStep> steps = {};
  /// Before its first step: the transition, and what else there is (audit, copies of what thaws).
  double transition_seconds = 0;
  double evaluation_seconds = 0;  ///< of the narrowed validation split; 0: there is none
  double groups_seconds = 0;      ///< of an evaluation: how far groups moved, whatever the split
  std::int64_t peak_memory_bytes = 0;
  bool reads_prefix = false;
};

/// What a rehearsal is of.
struct RehearsalRequest {
  const RunSetup& setup;  ///< its splits narrowed: see narrow_for_rehearsal
  Schedule schedule;      ///< of stages made short: see short_stage
  const DataOptions& data;
  const TrainOptions& train;
};

/// The stage, its end put off to so many steps or seconds, whichever comes first, without what
/// takes a length. Rates become so small that no weight moves, and stay different where they were.
Stage short_stage(const Stage& stage, std::int64_t steps, double seconds, bool has_validation);

/// Leaves so many of the first batches of `data` of the training split, and two of validation.
void narrow_for_rehearsal(const RunSetup& setup, const DataOptions& data, std::int64_t batches);

/// Trains as a run would, over the real ranks, with everything that a step of one has; see
/// Note [A rehearsal is a run]. A collective; rank 0 gets what came of it, the others nothing.
std::vector<RehearsedStage> rehearse(const RehearsalRequest& request, Communicator& ranks);

}  // namespace thaw
