#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "core/data/split.h"

namespace thaw {

/// Which samples of a split are trained on.
struct SampleSelection {
  double fraction = 1;         ///< of each class, (0, 1]; of a class that has samples at least one
  std::int64_t per_class = 0;  ///< at most so many of each class; 0: no limit
  std::uint64_t seed = 0;      ///< of the choice

  bool everything() const { return fraction >= 1 && per_class == 0; }
};

/// The samples chosen, ascending. Pure, so all ranks choose alike. What is chosen for a smaller
/// fraction is among what is chosen for a larger one.
std::vector<std::int64_t> select_samples(std::span<const std::int64_t> labels,
                                         const SampleSelection& selection);

/// A split of these samples (ascending, not empty) of `whole`, which is prepared: numbered anew
/// from 0, readable at once. A sample is read where it lies, so order costs what it costs in
/// `whole`.
std::unique_ptr<Split> narrow_split(std::unique_ptr<Split> whole,
                                    std::vector<std::int64_t> samples);

}  // namespace thaw
