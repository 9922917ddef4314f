#pragma once

#include <string>
#include <vector>

#include "launch/compare/comparison.h"

namespace thaw {

// Note [Which schedule serves]
// The one with the best mean is named as the one that serves only where it is ahead of every other
// by more than chance: paired t-tests of it against each, seed by seed, corrected by Holm's method.
// Those that it is not clearly ahead of share the place with it, and the cheapest of them, by
// operations to the target where all have reached it, is named: where scores do not decide, costs
// may. One seed decides nothing.

/// Which schedule serves on one fraction of the data.
struct ScheduleVerdict {
  std::string best;                 ///< schedule of the best mean score; "": there is but one
  std::vector<std::string> tied;    ///< others that runs do not tell from it
  std::vector<std::string> behind;  ///< others, by more than chance
  std::string words;                ///< for people: sentences; "" where there is but one
};

/// Pure.
ScheduleVerdict verdict_of(const ComparisonFacts& facts, const FractionTable& table);

/// All tables for a terminal in at most `columns` columns, each with its verdict, and what the
/// columns mean.
std::string comparison_for_terminal(const Comparison& comparison, std::size_t columns);

}  // namespace thaw
