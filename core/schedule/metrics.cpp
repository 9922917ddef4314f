#include "core/schedule/metrics.h"

#include <algorithm>
#include <cmath>

namespace thaw {
namespace {

constexpr std::string_view kValidation = "validation/";

}  // namespace

const Metric* MetricNames::find(std::string_view name) const {
  const auto found = std::find_if(metrics.begin(), metrics.end(),
                                  [&](const Metric& metric) { return metric.name == name; });
  return found == metrics.end() ? nullptr : &*found;
}

std::vector<std::string> MetricNames::all() const {
  std::vector<std::string> names;
  for (const Metric& metric : metrics) names.push_back(metric.name);
  return names;
}

std::vector<std::string> MetricNames::of_validation() const {
  std::vector<std::string> names = all();
  std::erase_if(names, [](const std::string& name) { return !needs_validation(name); });
  return names;
}

bool is_better(const MetricRule& rule, double value, const std::optional<double>& best) {
  if (std::isnan(value)) return false;
  if (!best) return true;
  return rule.mode == MetricRule::Mode::kMin ? value < *best - rule.least_change
                                             : value > *best + rule.least_change;
}

MetricNames metric_names(const std::vector<Metric>& others) {
  MetricNames names{
      {{"train/loss", MetricRule::Mode::kMin, 0}, {"validation/loss", MetricRule::Mode::kMin, 0}}};
  for (Metric metric : others) {
    metric.name.insert(0, kValidation);
    names.metrics.push_back(metric);
  }
  return names;
}

std::string key_of_metric(std::string name) {
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
}

std::string metric_of_key(std::string key) {
  std::replace(key.begin(), key.end(), '_', '-');
  return key;
}

bool needs_validation(std::string_view metric) { return metric.starts_with(kValidation); }

std::string_view name_of(MetricRule::Mode mode) {
  return mode == MetricRule::Mode::kMin ? "min" : "max";
}

}  // namespace thaw
