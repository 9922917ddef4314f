#pragma once

#include <vector>

namespace thaw {

/// Pearson's correlation of two lists of equal length; 0 where there is none: fewer than two
/// values, all alike, or one that is not finite.
double pearson_correlation(const std::vector<double>& a, const std::vector<double>& b);

/// Spearman's: Pearson's of the values' ranks, those of equal values being the mean of theirs.
double spearman_correlation(const std::vector<double>& a, const std::vector<double>& b);

}  // namespace thaw
