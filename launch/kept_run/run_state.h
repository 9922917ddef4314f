#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "core/checkpoint/layout.h"
#include "core/record/run_folder.h"
#include "launch/kept_run/run_story.h"

namespace thaw {

/// How it stands with a run.
enum class RunCondition {
  kRunning,   ///< a job holds its folder
  kComplete,  ///< its schedule went to the end, and its weights are there
  kStopped,   ///< not at its end, and its newest checkpoint has all that was done
  kCutOff,    ///< not at its end, and what came after its newest checkpoint is lost
};

/// "running", "finished", "stopped", "interrupted".
std::string_view name_of(RunCondition condition);

/// How a run's folder stands, seen from outside.
struct RunState {
  RunCondition condition = RunCondition::kCutOff;
  std::string holder;                        ///< of one that is running: "process 12 on node3"
  std::vector<CheckpointPlace> checkpoints;  ///< complete ones, oldest first, unverified
};

/// Looks at the lease and at which files are there; changes nothing. May take some seconds where a
/// process on another machine holds the folder. Throws InputError where there is no run.
RunState state_of(const RunFolder& folder, const RunStory& story);

/// What a run's folder takes on the disk.
struct KeptBytes {
  std::int64_t weights = 0;      ///< the last and the best
  std::int64_t checkpoints = 0;  ///< those that are complete
  std::int64_t set_aside = 0;    ///< those that nothing goes on from, and half-written ones
  std::int64_t others = 0;       ///< logs, configuration, ...

  std::int64_t all() const { return weights + checkpoints + set_aside + others; }
};

/// Of all plain files below the folder; what cannot be looked at counts nothing.
KeptBytes kept_bytes(const RunFolder& folder);

/// The command that goes on with a run, to be typed in the folder that paths in its configuration
/// are relative to.
std::string resume_command(const RunFolder& folder);

}  // namespace thaw
