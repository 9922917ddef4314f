#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

namespace thaw {

/// Where a metrics log is cut back to when a run goes on from a checkpoint.
struct MetricsCut {
  std::int64_t step = 0;  ///< of the checkpoint
  /// The checkpoint knows of an evaluation at its step; else that will be made again.
  bool evaluated = false;
};

/// Whether a line of metrics.jsonl tells of what the checkpoint knows: everything up to its step,
/// but for the end of the run and what leads on from that step. A line that is cut short goes.
bool stays_in_log(const std::string& line, const MetricsCut& cut);

/// The steps that a log tells of.
struct LoggedSteps {
  std::int64_t last = 0;   ///< 0: none
  std::int64_t apart = 1;  ///< the last from the one before it, as `output.log-every` has it
};

/// A warning where a log that ends so lacks lines up to `step`, since the machine went down before
/// they were on the disk, or somebody took them; "" where none are missing. Pure.
std::string missing_steps(const LoggedSteps& logged, std::int64_t step, std::int64_t log_every);

/// Rewrites the log at `path` without the lines that do not stay: all or nothing, and a log that
/// is not there stays so. Returns the steps that stay. Throws RunError.
LoggedSteps cut_metrics(const std::filesystem::path& path, const MetricsCut& cut);

}  // namespace thaw
