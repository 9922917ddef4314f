// `threshold`: the newest value of the metric is at least (mode "min": at most) the value.
#include <fmt/format.h>

#include "core/config/toml_text.h"
#include "core/schedule/triggers/reading.h"

namespace thaw {
namespace {

/// Remembers the newest value in `last`.
class Threshold final : public Trigger {
 public:
  Threshold(MetricRule rule, double value) : rule_(std::move(rule)), value_(value) {}

  std::string_view name() const override { return "threshold"; }
  std::string toml() const override {
    return fmt::format("{{ {}, value = {} }}", toml_text(rule_), toml_text(value_));
  }
  std::string plain() const override {
    return fmt::format("{} {} {:g}", rule_.metric, falls() ? "<=" : ">=", value_);
  }
  void add_needs(TriggerNeeds& needs) const override { add_need(rule_, needs); }
  void observe_evaluation(const MetricValues& metrics, TriggerState& own) const override {
    const auto value = metrics.find(rule_.metric);
    if (value != metrics.end()) own.last = value->second;
  }
  bool holds(const ScheduleState& /*stage*/, const TriggerState& own,
             std::int64_t /*train_samples*/) const override {
    if (!own.last) return false;
    return falls() ? *own.last <= value_ : *own.last >= value_;
  }

  /// What of `metric` never comes to the value; "" where it may.
  std::string never(const Metric& metric) const {
    if (falls() && value_ < metric.least) {
      return fmt::format("{} never falls below {}", rule_.metric, metric.least);
    }
    if (!falls() && value_ > metric.most) {
      return fmt::format("{} never rises above {}", rule_.metric, metric.most);
    }
    return "";
  }

 private:
  bool falls() const { return rule_.mode == MetricRule::Mode::kMin; }

  MetricRule rule_;
  double value_;
};

std::optional<ReadTrigger> read_threshold(const Setting& value, const std::string& subject,
                                          const StageFacts& stage, Problems& problems) {
  InnerTable table(value, subject, {"metric", "value", "mode"}, problems);
  const MetricRule rule = read_metric(table, stage);
  table.require("value");
  const auto trigger =
      std::make_shared<Threshold>(rule, table.number("value", 0, {.least = -1e15, .most = 1e15}));
  if (!table.good()) return {};
  return ReadTrigger{
      {trigger}, trigger->never(*stage.metrics.find(rule.metric)), table.where("value")};
}

}  // namespace

TriggerKind threshold_trigger() { return {"threshold", /*is_length=*/false, read_threshold}; }

}  // namespace thaw
