#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "core/config/problems.h"
#include "core/config/setting.h"
#include "core/schedule/metrics.h"
#include "core/schedule/schedule.h"

namespace thaw {

/// What a stage is read against.
struct StageSurroundings {
  const std::vector<std::string>& model_groups;
  bool has_validation = true;  ///< the data has a validation split
  const MetricNames& metrics;
  const Stage* before = nullptr;  ///< the stage before; null where this is the first
};

/// The keys that the table of a stage may have.
std::vector<std::string> stage_key_names();

/// Reads the table `[[schedule.stage]]` number `index` (from 0).
/// Returns nothing after adding what is wrong to `problems`.
std::optional<Stage> read_stage(const Setting& setting, std::size_t index,
                                const StageSurroundings& around, Problems& problems);

}  // namespace thaw
