#pragma once

#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace thaw {

/// A metric that is watched for a best value.
struct MetricRule {
  enum class Mode { kMin, kMax };
  std::string metric;       ///< "validation/loss"
  Mode mode = Mode::kMin;   ///< whether less is better, or more
  double least_change = 0;  ///< a new best is better than the old one by more than this

  friend bool operator==(const MetricRule&, const MetricRule&) = default;
};

/// Whether `value` is a new best by the rule; the first one is, a NaN never.
bool is_better(const MetricRule& rule, double value, const std::optional<double>& best);

/// A figure of training or of an evaluation that a schedule can watch.
struct Metric {
  static constexpr double kNone = std::numeric_limits<double>::infinity();

  std::string name;                                  ///< "validation/accuracy"
  MetricRule::Mode better = MetricRule::Mode::kMax;  ///< whether less of it is better, or more
  double least = -kNone, most = kNone;               ///< what it can come to; kNone: no bound

  /// Whether people read it in per cent.
  bool is_share() const { return least == 0 && most == 1; }
};

/// What a metric of an evaluation came to.
struct Figure {
  std::string name;  ///< "macro-f1"
  double value = 0;
};

/// The metric's name as a key of JSON: "macro_f1"; and back.
std::string key_of_metric(std::string name);
std::string metric_of_key(std::string key);

/// The metrics that a run has, in the order in which messages list them. They follow from its
/// task: core/tasks makes the value, and everything that reads a schedule is given it.
struct MetricNames {
  std::vector<Metric> metrics;

  /// Null where there is none of this name.
  const Metric* find(std::string_view name) const;
  std::vector<std::string> all() const;
  /// Those of an evaluation.
  std::vector<std::string> of_validation() const;
};

/// The metrics of a task whose evaluations come to a loss and `others` ("accuracy"): `train/loss`,
/// the mean over all samples trained since the evaluation before, `validation/loss`, and
/// `validation/` each of the others.
MetricNames metric_names(const std::vector<Metric>& others = {});

/// Whether the metric comes from the validation split.
bool needs_validation(std::string_view metric);

/// "min" or "max".
std::string_view name_of(MetricRule::Mode mode);

}  // namespace thaw
