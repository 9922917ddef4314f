// `gradient-signal`: AutoFreeze's measure (Liu, Agarwal and Venkataraman, 2021, section 4): with n
// the 2-norm of the group's gradient, averaged over the `every-steps` steps up to a check,
// |n − n'| / n', n' that of the check before. It holds if that was below `least-change` at the last
// `patience` checks. (AutoFreeze takes the norm of the summed gradient, which costs the memory of
// one more gradient.)
#include "core/schedule/triggers/gradient_signal.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/base/suggest.h"
#include "core/config/toml_text.h"
#include "core/schedule/group_patterns.h"
#include "core/schedule/triggers/reading.h"

namespace thaw {
namespace {

double relative_change(double norm, double before) {
  if (norm == before) return 0;
  return before > 0 ? std::abs(norm - before) / before : std::numeric_limits<double>::infinity();
}

struct SignalRule {
  std::string group;             ///< an active group of the stage
  std::int64_t every_steps = 0;  ///< steps between two checks, over which the norm is averaged
  std::int64_t patience = 0;     ///< checks in a row that must find a small change
  double least_change = 0;       ///< relative; what lies below is small
};

/// Remembers the small changes in a row in `count`, and what `observe_norm` does.
class GradientSignal final : public Trigger {
 public:
  explicit GradientSignal(SignalRule rule) : rule_(std::move(rule)) {}

  std::string_view name() const override { return "gradient-signal"; }
  std::string toml() const override {
    return fmt::format("{{ group = {}, every-steps = {}, patience = {}, least-change = {} }}",
                       toml_text(rule_.group), rule_.every_steps, rule_.patience,
                       toml_text(rule_.least_change));
  }
  std::string plain() const override {
    return fmt::format("gradient of {} changes by < {:g} over {} steps", rule_.group,
                       rule_.least_change, rule_.every_steps);
  }
  void add_needs(TriggerNeeds& needs) const override { needs.gradients.insert(rule_.group); }
  void observe_step(const StepValues& values, TriggerState& own) const override {
    const auto change = observe_norm(rule_.every_steps, values.gradient_norms.at(rule_.group), own);
    if (change) own.count = *change < rule_.least_change ? own.count + 1 : 0;
  }
  bool holds(const ScheduleState& /*stage*/, const TriggerState& own,
             std::int64_t /*train_samples*/) const override {
    return own.count >= rule_.patience;
  }

 private:
  SignalRule rule_;
};

std::optional<ReadTrigger> read_signal(const Setting& value, const std::string& subject,
                                       const StageFacts& stage, Problems& problems) {
  InnerTable table(value, subject, {"group", "every-steps", "patience", "least-change"}, problems);
  SignalRule rule;
  table.require("group");
  rule.group = table.text("group", "", {});
  rule.every_steps = table.integer("every-steps", 100, {.least = 1, .most = 1e15});
  rule.patience = table.integer("patience", 1, {.least = 1, .most = 1e9});
  rule.least_change = table.number("least-change", 0.05, {.above = 0, .most = 1e9});
  const auto& groups = stage.groups;
  if (table.good() && std::find(groups.begin(), groups.end(), rule.group) == groups.end()) {
    const std::string near = nearest_name(rule.group, groups);
    table.report("group",
                 fmt::format("{} is no group that this stage trains ({}){}", toml_text(rule.group),
                             list_groups(groups),
                             near.empty() ? "" : "; did you mean " + toml_text(near) + "?"));
  }
  if (!table.good()) return {};
  return ReadTrigger{{std::make_shared<GradientSignal>(rule)}};
}

}  // namespace

std::optional<double> observe_norm(std::int64_t every_steps, double norm, TriggerState& own) {
  if (!std::isfinite(norm)) return std::nullopt;  // of a step that was skipped
  own.sum += norm;
  if (++own.steps < every_steps) return std::nullopt;
  const double mean = own.sum / static_cast<double>(own.steps);
  std::optional<double> change;
  if (own.last) change = relative_change(mean, *own.last);
  own.last = mean;
  own.sum = 0;
  own.steps = 0;
  return change;
}

TriggerKind gradient_signal_trigger() {
  return {"gradient-signal", /*is_length=*/false, read_signal};
}

}  // namespace thaw
