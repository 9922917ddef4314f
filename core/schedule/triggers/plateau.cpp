// `plateau`: at least `patience` evaluations since the best value of the metric. A value is a new
// best if it is better by more than `least-change`; a NaN never is. A new best ends the plateau.
#include <fmt/format.h>

#include "core/config/toml_text.h"
#include "core/schedule/triggers/reading.h"

namespace thaw {
namespace {

/// Remembers `best`, and in `count` the evaluations since.
class Plateau final : public Trigger {
 public:
  Plateau(MetricRule rule, std::int64_t patience) : rule_(std::move(rule)), patience_(patience) {}

  std::string_view name() const override { return "plateau"; }
  std::string toml() const override {
    return fmt::format("{{ {}, patience = {}, least-change = {} }}", toml_text(rule_), patience_,
                       toml_text(rule_.least_change));
  }
  std::string plain() const override {
    return fmt::format("plateau of {} (patience {})", rule_.metric, patience_);
  }
  void add_needs(TriggerNeeds& needs) const override { add_need(rule_, needs); }
  void observe_evaluation(const MetricValues& metrics, TriggerState& own) const override {
    const auto value = metrics.find(rule_.metric);
    if (value == metrics.end()) return;
    own.last = value->second;
    const bool better = is_better(rule_, value->second, own.best);
    if (better) own.best = value->second;
    own.count = better ? 0 : own.count + 1;
  }
  bool holds(const ScheduleState& /*stage*/, const TriggerState& own,
             std::int64_t /*train_samples*/) const override {
    return own.count >= patience_;
  }

 private:
  MetricRule rule_;
  std::int64_t patience_;
};

std::optional<ReadTrigger> read_plateau(const Setting& value, const std::string& subject,
                                        const StageFacts& stage, Problems& problems) {
  InnerTable table(value, subject, {"metric", "patience", "least-change", "mode"}, problems);
  MetricRule rule = read_metric(table, stage);
  const std::int64_t patience = table.integer("patience", 3, {.least = 1, .most = 1e9});
  rule.least_change = table.number("least-change", 0, {.least = 0, .most = 1e9});
  if (!table.good()) return {};
  return ReadTrigger{{std::make_shared<Plateau>(rule, patience)}};
}

}  // namespace

TriggerKind plateau_trigger() { return {"plateau", /*is_length=*/false, read_plateau}; }

}  // namespace thaw
