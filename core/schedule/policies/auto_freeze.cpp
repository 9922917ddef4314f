// `auto-freeze`: all groups begin active. Every `every-steps` steps the change of each group's
// gradient norm is taken (as of a gradient signal, core/schedule/triggers/gradient_signal.cpp), and
// groups freeze from the input on for as long as their change is below the `percentile` of all
// active groups' (AutoFreeze: Liu, Agarwal and Venkataraman, 2021, algorithm 1). Those of `always`
// never freeze.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "core/config/toml_text.h"
#include "core/schedule/policies/policy.h"
#include "core/schedule/triggers/gradient_signal.h"

namespace thaw {
namespace {

/// The value below which `percent` of the values lie, interpolated linearly, as numpy does.
double percentile_of(std::vector<double> values, double percent) {
  std::sort(values.begin(), values.end());
  const double place = percent / 100 * static_cast<double>(values.size() - 1);
  const auto below = static_cast<std::size_t>(std::floor(place));
  const std::size_t above = std::min(below + 1, values.size() - 1);
  const double share = place - std::floor(place);
  return share == 0 ? values[below] : values[below] + share * (values[above] - values[below]);
}

class AutoFreeze final : public Policy {
 public:
  AutoFreeze(PolicyRule rule, double percentile)
      : Policy(std::move(rule)), percentile_(percentile) {}

  std::string_view name() const override { return "auto-freeze"; }
  std::string own_toml() const override {
    return fmt::format(", percentile = {}", toml_text(percentile_));
  }
  std::string plain(const std::string& groups) const override {
    return fmt::format("{}, freezing by gradients every {} steps", groups, every_steps());
  }
  std::optional<std::vector<std::string>> foreseen(const std::vector<std::string>& groups,
                                                   std::int64_t segment) const override {
    return segment == 0 ? std::optional(groups) : std::nullopt;
  }
  std::vector<std::string> watched(const std::vector<std::string>& active) const override {
    std::vector<std::string> watched = chosen_among(active);
    // One alone is never below its own percentile.
    return watched.size() > 1 ? watched : std::vector<std::string>();
  }
  /// `signals` holds what is remembered of each watched group.
  void observe_step(const StepValues& values, ScheduleState& state) const override {
    const std::vector<std::string> groups = watched(state.active);
    // A step that is skipped has no gradients, though some groups' norms may be numbers; left out
    // for all of them, so that their checks stay at the same steps.
    const bool skipped = std::any_of(groups.begin(), groups.end(), [&](const std::string& group) {
      return !std::isfinite(values.gradient_norms.at(group));
    });
    if (skipped) return;
    std::vector<double> changes;
    for (const std::string& group : groups) {
      const auto change =
          observe_norm(every_steps(), values.gradient_norms.at(group), state.signals[group]);
      if (change) changes.push_back(*change);
    }
    if (changes.size() < groups.size() || changes.empty()) return;
    const double limit = percentile_of(changes, percentile_);
    std::set<std::string> frozen;
    for (std::size_t i = 0; i < groups.size() && changes[i] < limit; ++i) frozen.insert(groups[i]);
    if (frozen.empty()) return;
    state.next_active = state.active;
    std::erase_if(state.next_active,
                  [&](const std::string& group) { return frozen.contains(group); });
    for (const std::string& group : frozen) state.signals.erase(group);
  }

 private:
  double percentile_;  ///< of the changes; what lies below freezes
};

std::shared_ptr<const Policy> read_auto_freeze(InnerTable& table, PolicyRule rule,
                                               const PolicyFacts& /*facts*/) {
  const double percentile =
      table.number("percentile", ScheduleOptions().freeze_percentile, {.least = 0, .most = 100});
  return std::make_shared<AutoFreeze>(std::move(rule), percentile);
}

std::vector<std::pair<std::string, OptionValue>> auto_freeze_preset(const ScheduleOptions& options,
                                                                    const std::string& /*head*/) {
  return {{"percentile", options.freeze_percentile}};
}

}  // namespace

PolicyKind auto_freeze_policy() {
  return {
      "auto-freeze", {"percentile"}, /*with_input=*/false, read_auto_freeze, auto_freeze_preset};
}

}  // namespace thaw
