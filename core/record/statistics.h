#pragma once

#include <span>
#include <vector>

namespace thaw {

/// A mean with the half-width of its 95 % confidence interval (Student's t).
struct Estimate {
  double mean = 0;
  double half_width = 0;  ///< NaN where there are fewer than two values
};

/// NaN for no values.
Estimate estimate(std::span<const double> values);

/// A paired t-test of "the mean difference is zero", on values of the same seeds.
struct PairedTest {
  Estimate difference;  ///< of `values` minus `reference`
  double p = 1;         ///< two-sided; NaN where there are fewer than two pairs
  /// The smallest true difference that the test at `level` finds with a probability of 80 %, given
  /// the spread seen; NaN where there are fewer than two pairs.
  double smallest_visible = 0;
};

/// `values[i]` and `reference[i]` are a pair. `level`: of significance, of a single comparison.
PairedTest paired_t_test(std::span<const double> values, std::span<const double> reference,
                         double level = 0.05);

/// Holm's (1979) step-down correction: p-values as they count when so many were looked at. NaN stay
/// NaN and do not count.
std::vector<double> holm(std::span<const double> p_values);

}  // namespace thaw
