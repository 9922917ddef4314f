#include "core/record/statistics.h"

#include <algorithm>
#include <boost/math/distributions/students_t.hpp>
#include <cmath>
#include <limits>
#include <numeric>

namespace thaw {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kPower = 0.8;

double mean_of(std::span<const double> values) {
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

/// Of the mean, from the sample's own spread; at least two values.
double standard_error(std::span<const double> values) {
  const double mean = mean_of(values);
  const auto n = static_cast<double>(values.size());
  double squares = 0;
  for (const double value : values) squares += (value - mean) * (value - mean);
  return std::sqrt(squares / (n - 1) / n);
}

boost::math::students_t t_distribution(std::size_t values) {
  return boost::math::students_t(static_cast<double>(values) - 1);
}

}  // namespace

Estimate estimate(std::span<const double> values) {
  if (values.empty()) return {kNan, kNan};
  if (values.size() == 1) return {values[0], kNan};
  return {mean_of(values),
          standard_error(values) * boost::math::quantile(t_distribution(values.size()), 0.975)};
}

PairedTest paired_t_test(std::span<const double> values, std::span<const double> reference,
                         double level) {
  std::vector<double> differences;
  for (std::size_t i = 0; i < values.size(); ++i) differences.push_back(values[i] - reference[i]);
  PairedTest test{estimate(differences), kNan, kNan};
  if (differences.size() < 2) return test;
  const auto distribution = t_distribution(differences.size());
  const double error = standard_error(differences);
  if (error == 0) {
    test.p = test.difference.mean == 0 ? 1 : 0;
  } else {
    const double t = std::abs(test.difference.mean) / error;
    test.p = 2 * boost::math::cdf(boost::math::complement(distribution, t));
  }
  test.smallest_visible = error * (boost::math::quantile(distribution, 1 - level / 2) +
                                   boost::math::quantile(distribution, kPower));
  return test;
}

std::vector<double> holm(std::span<const double> p_values) {
  std::vector<std::size_t> order;
  for (std::size_t i = 0; i < p_values.size(); ++i) {
    if (!std::isnan(p_values[i])) order.push_back(i);
  }
  std::sort(order.begin(), order.end(),
            [&](std::size_t a, std::size_t b) { return p_values[a] < p_values[b]; });
  std::vector<double> corrected(p_values.begin(), p_values.end());
  double largest = 0;
  for (std::size_t rank = 0; rank < order.size(); ++rank) {
    const auto still_in = static_cast<double>(order.size() - rank);
    largest = std::max(largest, std::min(1.0, p_values[order[rank]] * still_in));
    corrected[order[rank]] = largest;
  }
  return corrected;
}

}  // namespace thaw
