#include "core/schedule/metrics.h"

namespace thaw {

const std::vector<std::string>& metric_names() {
  static const std::vector<std::string> names = {"train/loss", "validation/loss",
                                                 "validation/accuracy", "validation/macro-f1"};
  return names;
}

MetricRule::Mode natural_mode(std::string_view metric) {
  return metric.ends_with("loss") ? MetricRule::Mode::kMin : MetricRule::Mode::kMax;
}

bool needs_validation(std::string_view metric) { return metric.starts_with("validation/"); }

std::string_view name_of(MetricRule::Mode mode) {
  return mode == MetricRule::Mode::kMin ? "min" : "max";
}

}  // namespace thaw
