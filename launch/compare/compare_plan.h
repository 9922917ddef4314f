#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/config/flags.h"

namespace thaw {

/// What `thaw compare` was asked for.
struct CompareRequest {
  std::string configuration;
  std::vector<Override> overrides;
  std::vector<std::string> schedules;  ///< presets; the first is the reference
  std::int64_t seeds = 5;
  std::vector<double> fractions = {1};
  std::vector<double> learning_rates;  ///< empty: as configured
  std::string budget = "samples";      ///< or seconds, flops
  std::int64_t parallel = 1;
  std::int64_t ranks = 1;        ///< of each run
  std::int64_t threads = 0;      ///< of each rank; 0: as configured; see threads_beside_others
  std::optional<double> target;  ///< score to be reached
  std::string metric = "";       ///< that scores are of; "": the task's first
};

/// The threads of each rank where several runs share `cores`: each its part, and at least one. 0,
/// as configured, where runs are made one by one or the configuration, file or flags, says how many
/// (`configured`).
std::int64_t threads_beside_others(const CompareRequest& request, bool configured,
                                   std::int64_t cores);

/// One training run of a comparison.
struct PlannedRun {
  std::string schedule;
  double fraction = 1;
  double learning_rate = 0;  ///< 0: as configured
  std::int64_t seed = 0;
  double epochs = 0;  ///< of the whole run

  /// Of its folder below the comparison's: the same for the same run.
  std::string folder() const;
  std::string describe() const;
};

/// The runs that choose learning rates: each schedule and fraction with each rate, by the spare
/// seed `request.seeds`. Empty where fewer than two rates were given.
std::vector<PlannedRun> choosing_runs(const CompareRequest& request);

/// The runs that are compared, but for their rates and lengths: schedules beside each other, seed
/// by seed, so that a comparison that was cut short has whole seeds.
std::vector<PlannedRun> compared_runs(const CompareRequest& request);

/// What is wanted of a run: its metrics alone, by which a rate is chosen, or its weights too, which
/// are measured on other splits.
enum class RunPurpose { kChoosing, kCompared };

/// The command line of a run: `thaw train` with flags on top of the request's own.
std::vector<std::string> train_command(const CompareRequest& request, const PlannedRun& run,
                                       const std::string& thaw, const std::string& run_folder,
                                       RunPurpose purpose);

/// The flags that make the configuration that of `run`, each "--key" and its value.
std::vector<std::string> run_flags(const CompareRequest& request, const PlannedRun& run);

/// What a cost per sample comes to as a length: epochs for which a schedule costs what `reference`
/// costs over `epochs`. Costs are means over each schedule's stages, which share a run evenly.
double epochs_of_budget(double epochs, double reference_cost, double cost);

}  // namespace thaw
