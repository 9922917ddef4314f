#pragma once

#include <cstddef>
#include <set>
#include <string>
#include <vector>

#include "core/config/configuration.h"

namespace thaw {

/// A stage of a preset before lengths and rates. Groups are indices among the model's.
struct PresetStage {
  std::string name;
  std::set<std::size_t> active;
};

/// The stages of every preset but freeze-out, for a model with these groups: see Note [Presets].
std::vector<PresetStage> preset_stages(const ScheduleOptions& options,
                                       const std::vector<std::string>& groups);

/// The units that freeze-out freezes one after another, from the input on; the last is the head.
std::vector<std::set<std::size_t>> freezing_units(const ScheduleOptions& options,
                                                  const std::vector<std::string>& groups);

/// The share of the whole length after which each of `units` units is frozen, the last at 1: from
/// `first`, above 0, in equal steps, or, cubed, in equal steps of their cube roots.
std::vector<double> freezing_times(std::size_t units, double first, bool cubed);

}  // namespace thaw
