#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/train/training_state.h"

namespace thaw {

class CheckpointReader;
class CheckpointSaver;
class StopRequest;

/// What a trainer saves with, stops for, and goes on from. Pointers are borrowed.
struct CheckpointParts {
  CheckpointSaver* saver = nullptr;  ///< null: nothing is saved
  std::int64_t every_steps = 0;      ///< 0: at transitions and at the end only; -1: nor there
  std::string configuration = {};    ///< of the run, as TOML
  RunFacts facts = {};
  std::vector<std::string> classes = {};                 ///< for who exports from a checkpoint
  std::map<std::string, std::string> weight_names = {};  ///< likewise
  StopRequest* stop = nullptr;                           ///< null: nothing stops it

  const CheckpointReader* resume = nullptr;   ///< to go on from; null: from the start
  const TrainingState* state = nullptr;       ///< its state
  std::vector<std::string> passed_over = {};  ///< newer checkpoints, and why; for the report
};

}  // namespace thaw
