#include "launch/compare/score_metric.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <vector>

#include "core/base/error.h"
#include "core/base/suggest.h"
#include "core/tasks/task.h"

namespace thaw {

ScoreMetric score_metric(const std::string& name, const Task& task) {
  if (name.empty()) return {};
  if (name == "loss") return {"loss", /*lower_is_better=*/true};
  std::vector<std::string> names = {"loss"};
  for (const Metric& metric : task.metrics()) {
    if (metric.name == name) return {name, metric.better == MetricRule::Mode::kMin};
    names.push_back(metric.name);
  }
  const std::string nearest = nearest_name(name, names);
  throw InputError(fmt::format("--metric {}: this task has {}{}", name, fmt::join(names, ", "),
                               nearest.empty() ? "" : fmt::format("; did you mean {}?", nearest)));
}

}  // namespace thaw
