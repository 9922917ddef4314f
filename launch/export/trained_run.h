#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "core/record/observer.h"

namespace thaw {

/// A stage of a finished or running training, or a segment of one with a policy, as it happened.
struct TrainedStage {
  std::string name;
  std::int64_t steps = 0;
  std::vector<std::string> groups;  ///< active
  double learning_rate = 0;         ///< the highest of theirs, before the curve
  std::int64_t active_parameters = 0;
};

/// What the run that made some weights tells of them.
struct TrainedRun {
  std::vector<TrainedStage> stages;
  std::int64_t steps = 0;
  std::vector<std::string> data;               ///< the data files' names, without their folders
  std::string settings;                        ///< sections [task], [train], [schedule], as TOML
  std::optional<EvaluationReport> evaluation;  ///< of these weights, on the validation split
};

/// Of the run in whose folder `weights`, a file or a checkpoint's folder, lie; nothing where they
/// lie in none. Throws InputError where its log is not what a run writes.
std::optional<TrainedRun> run_behind(const std::filesystem::path& weights);

}  // namespace thaw
