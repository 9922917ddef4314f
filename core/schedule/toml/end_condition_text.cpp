#include "core/schedule/toml/end_condition_text.h"

#include <fmt/format.h>

#include <cmath>

#include "core/config/toml_text.h"
#include "core/schedule/metrics.h"

namespace thaw {
namespace {

using Kind = EndCondition::Kind;

std::string metric_entries(const MetricRule& rule) {
  return fmt::format("metric = {}, mode = \"{}\"", toml_text(rule.metric), name_of(rule.mode));
}

std::string plain_leaf(const EndCondition& leaf) {
  const MetricRule& metric = leaf.metric;
  const SignalRule& signal = leaf.signal;
  switch (leaf.kind) {
    case Kind::kEpochs:
      return fmt::format("{:g} epoch{}", leaf.amount, leaf.amount == 1 ? "" : "s");
    case Kind::kSteps:
      return fmt::format("{:g} step{}", leaf.amount, leaf.amount == 1 ? "" : "s");
    case Kind::kSeconds:
      return fmt::format("{:g} s", leaf.amount);
    case Kind::kPlateau:
      return fmt::format("plateau of {} (patience {})", metric.metric, metric.patience);
    case Kind::kThreshold:
      return fmt::format("{} {} {:g}", metric.metric,
                         metric.mode == MetricRule::Mode::kMin ? "<=" : ">=", metric.value);
    case Kind::kGradientSignal:
      return fmt::format("gradient of {} changes by < {:g} over {} steps", signal.group,
                         signal.least_change, signal.every_steps);
    case Kind::kCurveFinished:
      return fmt::format("end of the curve ({:g} steps)", leaf.amount);
    case Kind::kAny:
    case Kind::kAll:
      break;
  }
  return "";
}

}  // namespace

std::string toml_text(const EndCondition& until) {
  const MetricRule& metric = until.metric;
  const SignalRule& signal = until.signal;
  const auto list = [&](const char* key) {
    std::string text;
    for (const EndCondition& each : until.conditions) {
      if (!text.empty()) text += ", ";
      text += toml_text(each);
    }
    return fmt::format("{{ {} = [{}] }}", key, text);
  };
  switch (until.kind) {
    case Kind::kEpochs:
      return fmt::format("{{ epochs = {} }}", until.amount);
    case Kind::kSteps:
      return fmt::format("{{ steps = {} }}", std::llround(until.amount));
    case Kind::kSeconds:
      return fmt::format("{{ seconds = {} }}", toml_text(until.amount));
    case Kind::kPlateau:
      return fmt::format("{{ plateau = {{ {}, patience = {}, least-change = {} }} }}",
                         metric_entries(metric), metric.patience, toml_text(metric.least_change));
    case Kind::kThreshold:
      return fmt::format("{{ threshold = {{ {}, value = {} }} }}", metric_entries(metric),
                         toml_text(metric.value));
    case Kind::kGradientSignal:
      return fmt::format(
          "{{ gradient-signal = {{ group = {}, every-steps = {}, patience = {}, least-change = {} "
          "}} }}",
          toml_text(signal.group), signal.every_steps, signal.patience,
          toml_text(signal.least_change));
    case Kind::kCurveFinished:
      return "{ curve-finished = true }";
    case Kind::kAny:
      return list("any");
    case Kind::kAll:
      return list("all");
  }
  return "";
}

std::string plain_text(const EndCondition& until) {
  if (until.kind != Kind::kAny && until.kind != Kind::kAll) return plain_leaf(until);
  std::string text;
  for (const EndCondition& each : until.conditions) {
    if (!text.empty()) text += until.kind == Kind::kAny ? " or " : " and ";
    const bool nested = each.conditions.size() > 1 && each.kind != until.kind;
    text += nested ? "(" + plain_text(each) + ")" : plain_text(each);
  }
  return text;
}

}  // namespace thaw
