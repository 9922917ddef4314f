#pragma once

#include <cstdint>
#include <vector>

namespace thaw {

class Split;
struct Configuration;
struct Schedule;
struct TrainOptions;

/// Tokens of the fullest forward over a share of a batch, whose samples have so many tokens each:
/// cut into micro-batches as in training. Pure.
std::int64_t fullest_forward(const std::vector<std::int64_t>& tokens, const TrainOptions& train);

/// What of a run is tried: rank 0's shares of its first batches.
struct TriedPart {
  int ranks = 1;
  std::int64_t batches = 0;
};

/// By how many times the fullest forward of all ranks in the whole run has more tokens than the
/// fullest of those that are tried; at least 1. `split`: of texts, what is trained on.
double fuller_than_tried(const Split& split, const Configuration& configuration,
                         const Schedule& schedule, const TriedPart& tried);

}  // namespace thaw
