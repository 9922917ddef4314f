#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace thaw {

// Note [Is a cache of the frozen prefix worth it]
// What a cache spares is the forward up to a boundary, once for each sample that is still to be
// drawn while everything below it stays frozen. What it costs is that forward once for each sample
// of the split, writing, and reading. All of it is known or measured before, so the decision is
// arithmetic. Boundaries that several stages need are made in one pass, since on its way to the
// last one it comes by the others. A stage whose own boundary has no room reads an earlier one, and
// runs what lies between. The gain must be clear (kLeastGain): measurements have errors, and a run
// must not become slower by a cache.

/// A place in the network whose outputs may be kept; in order from input to output.
struct PrefixBoundary {
  double seconds = 0;      ///< of a forward from the input up to it, a sample
  std::int64_t bytes = 0;  ///< of the outputs of all samples
  bool filled = false;     ///< they are there already
};

/// Samples to be drawn while everything below a boundary stays frozen.
struct PrefixDemand {
  std::size_t boundary = 0;  ///< index of the last one that may be used
  double samples = 0;
};

/// All that the decision depends on.
struct PrefixCosts {
  std::vector<PrefixBoundary> boundaries = {};
  std::vector<PrefixDemand> demands = {};  ///< of this stage and those to come
  double samples = 0;                      ///< of the split
  double write_seconds = 0;                ///< a byte
  double read_seconds = 0;                 ///< a byte
  std::int64_t limit = 0;                  ///< bytes that may be taken in all
  bool always = false;                     ///< whatever fits is kept, worth it or not
};

struct PrefixDecision {
  bool use = false;
  std::vector<std::size_t> kept;  ///< indices of boundaries, ascending; those worth most
  std::int64_t bytes = 0;         ///< of these
  double seconds_without = 0;     ///< of forwards up to the boundaries
  double seconds_with = 0;        ///< the same, making and reading included
};

/// Of the time without a cache that one must spare.
inline constexpr double kLeastGain = 0.1;

/// Chooses boundaries within the limit, and says whether they are worth it. Least useful ones are
/// dropped first: those without which the run takes the least time more. Pure.
PrefixDecision decide_prefix(const PrefixCosts& costs);

}  // namespace thaw
