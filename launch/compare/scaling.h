#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "core/record/statistics.h"

namespace thaw {

/// Seconds of a step and where they went: medians over the steps of one stage in one run.
struct StepSplit {
  double total = 0, data = 0, compute = 0, communication = 0;
};

/// One run at one number of ranks.
struct ScalingRun {
  std::int64_t ranks = 1;
  std::int64_t batch = 0;  ///< global
  struct Stage {
    std::string name;
    StepSplit seconds;
  };
  std::vector<Stage> stages;  ///< in order
};

/// Repetitions summed up: means of the runs' medians, with 95 % confidence intervals.
struct ScalingRow {
  std::string stage;
  std::int64_t ranks = 1;
  std::int64_t batch = 0;
  Estimate step_seconds, data, compute, communication;
  double samples_per_second = 0;
  double efficiency = 1;  ///< samples a second a rank, over those at the fewest ranks
};

/// Reads a run's steps, of each stage without its first `warm_up` ones. Throws InputError naming
/// the file where it is not what a run writes, or where a stage has no more steps than that.
std::vector<ScalingRun::Stage> read_step_times(const std::filesystem::path& run_folder,
                                               std::int64_t warm_up);

/// By stage, then by ranks ascending. `runs`: several of each number of ranks. Pure.
std::vector<ScalingRow> scaling_rows(const std::vector<ScalingRun>& runs);

/// What the global batch does as the ranks grow.
enum class Scaling {
  kStrong,  ///< stays the same
  kWeak     ///< grows with them
};
/// "strong" or "weak".
const char* name_of(Scaling scaling);

/// All stages at all numbers of ranks under one way of scaling.
struct ScalingTable {
  Scaling scaling = Scaling::kStrong;
  std::vector<ScalingRow> rows;
};

/// What was measured, for the report's heading and notes.
struct ScalingFacts {
  std::string configuration;
  std::int64_t repetitions = 0, steps = 0, warm_up = 0;
  std::string version;
  std::int64_t threads = 0;  ///< of each rank, whatever their number; 0: as each run finds fit
};

std::string scaling_markdown(const ScalingFacts& facts, const std::vector<ScalingTable>& tables);
std::string scaling_json(const ScalingFacts& facts, const std::vector<ScalingTable>& tables);
/// A self-contained page with the tables and the curves over ranks.
std::string scaling_page(const ScalingFacts& facts, const std::vector<ScalingTable>& tables);

}  // namespace thaw
