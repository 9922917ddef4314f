#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/config/problems.h"
#include "core/config/setting.h"
#include "core/schedule/metrics.h"
#include "core/schedule/schedule.h"

namespace thaw {

/// What an end condition is read against.
struct StageFacts {
  std::vector<std::string> groups;  ///< active in the stage
  Curve curve;
  bool has_validation = true;  ///< the dataset has a validation split
  const MetricNames& metrics;
};

/// A trigger that was read, and, where it can never hold, what of it says so.
struct ReadTrigger {
  EndCondition condition;
  std::string never;  ///< "" where it can hold
  Location where;     ///< of what `never` speaks of
};

/// The triggers that a condition may name: "epochs", "steps", "seconds", "plateau", "threshold",
/// "gradient-signal", "curve-finished".
const std::vector<std::string>& trigger_names();

/// Reads one of them, `epochs = 1`. `subject` is its name in messages. Returns nothing after adding
/// what is wrong to `problems`.
std::optional<ReadTrigger> read_trigger(const Setting::Entry& entry, const std::string& subject,
                                        const StageFacts& stage, Problems& problems);

}  // namespace thaw
