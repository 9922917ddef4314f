#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/checkpoint/reader.h"
#include "core/record/run_folder.h"
#include "core/schedule/schedule.h"
#include "core/train/training_state.h"
#include "launch/run/run_setup.h"

namespace thaw {

/// How a run begins.
struct RunStart {
  bool finished = false;                         ///< all is done already
  bool goes_on = false;                          ///< in a folder with a log to be added to
  std::unique_ptr<CheckpointReader> checkpoint;  ///< to go on from; null: from the start
  TrainingState state;                           ///< of `checkpoint`
  std::vector<std::string> passed_over;          ///< newer checkpoints that are damaged, and why
};

/// What this run is computed on and with; `identity`: what is trained (run_identity). A collective.
/// Throws InputError on all ranks where train.reduction is "canonical" and they run on different
/// kinds of machines.
RunFacts run_facts(const RunSetup& setup, std::map<std::string, std::string> identity,
                   Communicator& communicator);

/// A collective: finds what `resume` (auto, never, or the path of a checkpoint, or of a folder of
/// them) says to begin with, and brings the run folder to that state.
///
///   auto   the newest good checkpoint of `folder`; from the start where there is no run, or where
///          one of the same configuration was interrupted before its first checkpoint
///   never  from the start, in a folder without a run
///   PATH   that checkpoint, which may belong to another run folder; `folder` then holds no run
///
/// Throws InputError on all ranks, having changed nothing, where that cannot be: a damaged
/// checkpoint, another configuration, a folder with a run.
RunStart start_run(const std::string& resume, const RunFolder& folder, const RunSetup& setup,
                   const Schedule& schedule, const RunFacts& facts, Communicator& communicator);

}  // namespace thaw
