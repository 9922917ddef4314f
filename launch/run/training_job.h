#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "core/measure/forgetting.h"
#include "core/record/folder_lease.h"
#include "core/record/observer.h"
#include "core/record/run_folder.h"
#include "core/schedule/schedule.h"
#include "core/train/training_state.h"
#include "launch/generate/prompt_tokens.h"
#include "launch/run/resume.h"
#include "launch/run/run_setup.h"

namespace thaw {

class Communicator;
class JobWatch;
class StageCoordinator;
class StepMonitor;

/// Makes what takes the ranks from stage to stage. A collective.
using CoordinatorMaker = std::function<std::unique_ptr<StageCoordinator>(
    Communicator& communicator, const Configuration& configuration, StepMonitor& monitor)>;

/// A training before its first step.
struct PreparedRun {
  RunSetup setup;
  Schedule schedule;
  std::unique_ptr<Forgetting> forgetting;  ///< null where nothing is measured of it
  std::optional<PromptTokens> prompts;     ///< of output.samples; see sample_prompts
  RunFolder folder;
  LeaseClaim claim;  ///< of the folder: looked at before anything is written
  RunFacts facts;
  RunStart start;
  bool measures_cached = false;  ///< see `train --measure-cached`
  bool flushes_weights = true;   ///< see `train --weights-later`
  std::string identity;          ///< of all that it is, to be kept: see RunIdentity
  std::string resolved = {};     ///< the configuration, all of it explicit
};

/// Trains a prepared run from its start or checkpoint to its end, or until somebody asks it to
/// stop, going back to the last checkpoint where training asks for it. A collective, on the main
/// thread of each rank; rank 0 makes the run's folder, writes and prints. `world` carries what
/// `watch` is not to see. Returns what the run came to, once all of it is saved.
RunSummary run_training(PreparedRun& run, JobWatch& watch, Communicator& world,
                        const CoordinatorMaker& make_coordinator);

}  // namespace thaw
