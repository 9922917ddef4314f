#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "core/checkpoint/layout.h"

namespace thaw {

/// A complete checkpoint, as far as keeping it goes.
struct StoredCheckpoint {
  CheckpointPlace place;
  std::optional<double> evaluation_loss;  ///< of the evaluation at its step, where one was made
};

struct RetentionRules {
  std::int64_t newest = 3;  ///< that stay, at least 1
  bool best = true;         ///< the one of the lowest evaluation loss stays
  bool transitions = true;  ///< those at transitions stay
};

/// Which of `stored` are to be removed, oldest first. Pure. The newest always stays.
std::vector<CheckpointPlace> superfluous(std::vector<StoredCheckpoint> stored,
                                         const RetentionRules& rules);

}  // namespace thaw
