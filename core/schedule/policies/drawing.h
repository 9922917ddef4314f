#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "core/schedule/policies/policy.h"

namespace thaw {

// What policies that draw groups share.

/// How many of the groups that are not always active are drawn, and from which seed.
struct DrawRule {
  std::int64_t groups = 0;
  std::int64_t seed = 0;
};

/// Reads `groups` and `seed`, with the presets' defaults. Where something is wrong, the table says
/// so.
DrawRule read_draw(InnerTable& table, const PolicyFacts& facts);

/// The entries of a preset with such a policy: PolicyKind::preset.
std::vector<std::pair<std::string, OptionValue>> draw_preset(const ScheduleOptions& options,
                                                             const std::string& head);

/// The first state of the generator for segment `segment`; each `mixed_bits` of it is the next.
std::uint64_t first_bits(const DrawRule& rule, std::int64_t segment);

/// Steele, Lea and Flood, SplitMix (2014): one output for each counter, the same everywhere.
std::uint64_t mixed_bits(std::uint64_t value);

}  // namespace thaw
