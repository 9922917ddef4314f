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

/// Rewrites the log at `path` without the lines that do not stay: all or nothing, and a log that
/// is not there stays so. Throws RunError.
void cut_metrics(const std::filesystem::path& path, const MetricsCut& cut);

}  // namespace thaw
