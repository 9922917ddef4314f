#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

namespace thaw {

class Split;
struct TrainerParts;

/// All that decides what the groups before each boundary return for the samples of a split, as text
/// that differs where they may: weights, function and precision of these groups, data, kernels and
/// settings. A collective: reads the data on rank 0 where nobody has its fingerprint, and returns
/// rank 0's on all.
std::vector<std::string> prefix_keys(const TrainerParts& parts, const Split& split,
                                     std::span<const std::size_t> boundaries);

}  // namespace thaw
