#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/schedule/schedule.h"

namespace thaw {

class Communicator;
class ParameterTable;
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

/// What a stage came to, all segments of one with a policy together.
struct RehearsedStage {
  std::string name = {};  ///< as it was told first: of a segment, "NAME/0"
  std::vector<RehearsedStep> steps = {};
  /// Before its first step: the transition, and what else there is (audit, copies of what thaws).
  double transition_seconds = 0;
  double evaluation_seconds = 0;  ///< of the narrowed validation split; 0: there is none
  double groups_seconds = 0;      ///< of an evaluation: how far groups moved, whatever the split
  std::int64_t peak_memory_bytes = 0;
  double peak_load = 0;  ///< largest of the steps that this is of; 0: of `steps`
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

/// Of which memory a choice has the most: of gradients, or of what backward needs as well.
enum class Fullest { kLargest, kDeepest };

/// The groups of a choice of the stage's policy that is the fullest: as many as its first one has,
/// those that are always active and the largest others; kDeepest: the one that backward reaches
/// last among them. All groups, where there is no policy. In the stage's order. Pure.
std::vector<std::string> fullest_groups(const Stage& stage, const ParameterTable& parameters,
                                        Fullest what);

/// Stages of a rehearsal as the memory of a stage is measured in them, without policies: its first
/// choice of groups and, where that is another, the fullest one. Pure.
std::vector<Stage> stages_for_memory(const Stage& stage, const ParameterTable& parameters);

/// The rows of a rehearsal in which these (one for each of `stages`, true: it stands for the one
/// before in its fullest choice) were run, without those that stand for others, whose memory theirs
/// is. Pure.
std::vector<RehearsedStage> with_fullest(const std::vector<RehearsedStage>& stages,
                                         const std::vector<bool>& stands_for_another);

/// Leaves so many of the first batches of `data` of the training split, and of validation the
/// longest samples: two such batches, or one as evaluations have them, where that is more. For
/// evaluations do not cut a batch, and the largest one decides what memory they take.
void narrow_for_rehearsal(const RunSetup& setup, const DataOptions& data, std::int64_t batches);

/// The most memory of what a stage's peak is told of since `reset_peak`, in bytes: the GPU's where
/// the parameters lie on one, else what this process had resident.
void reset_peak(const ParameterTable& parameters);
double peak_bytes(const ParameterTable& parameters);

/// Trains as a run would, over the real ranks, with everything that a step of one has; see
/// Note [A rehearsal is a run]. A collective; rank 0 gets what came of it, of each stage of the
/// request in its order; the others nothing.
std::vector<RehearsedStage> rehearse(const RehearsalRequest& request, Communicator& ranks);

}  // namespace thaw
