// `auto-rgn`: groups by their relative gradient norm, that of the gradient over that of the weights
// (Auto-RGN: Lee and others, Surgical fine-tuning improves adaptation to distribution shifts, 2022,
// section 4). In the first `probe-steps` steps every rate is 0: nothing moves, and the norms are
// taken. Then, with `choose = "rates"`, all groups are trained, each with its rate times its
// relative norm over the largest one, taken anew every `every-steps` steps; with `choose = "set"`,
// those `groups` that have the largest ones are trained with the rates as they stand, to the
// stage's end: of a frozen group nobody knows what its gradient would be. Those of `always` are
// trained throughout with their own rates.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>
#include <utility>

#include "core/config/toml_text.h"
#include "core/schedule/policies/policy.h"

namespace thaw {
namespace {

struct RgnRule {
  bool picks = false;       ///< a set, in place of scaling rates
  std::int64_t groups = 1;  ///< of the set
  std::int64_t probe_steps = 5;
};

/// Remembers in `signals`, of each watched group, the norm of its weights as the segment began in
/// `best`, the norms of its gradients since then in `sum` and `steps`, and in `last` the factor
/// that the last segment's norms gave it.
class AutoRgn final : public Policy {
 public:
  AutoRgn(PolicyRule policy_rule, RgnRule rule) : Policy(std::move(policy_rule)), rule_(rule) {}

  std::string_view name() const override { return "auto-rgn"; }
  std::string own_toml() const override {
    return fmt::format(", choose = {}, groups = {}, probe-steps = {}",
                       toml_text(std::string(rule_.picks ? "set" : "rates")), rule_.groups,
                       rule_.probe_steps);
  }
  std::string plain(const std::string& groups) const override {
    if (rule_.picks) {
      return fmt::format("{} of {}, those of the largest relative gradients in {} steps at rate 0",
                         rule_.groups, groups, rule_.probe_steps);
    }
    return fmt::format("{}, rates by relative gradients every {} steps, after {} at rate 0", groups,
                       every_steps(), rule_.probe_steps);
  }
  std::optional<std::vector<std::string>> foreseen(const std::vector<std::string>& groups,
                                                   std::int64_t segment) const override {
    return segment == 0 || !rule_.picks ? std::optional(groups) : std::nullopt;
  }
  std::vector<std::string> watched(const std::vector<std::string>& active) const override {
    return chosen_among(active);
  }
  bool watches_weights() const override { return true; }
  bool scales_rates() const override { return true; }
  double rate_factor(const std::string& group, const ScheduleState& state) const override {
    if (state.segment == 0) return 0;
    const auto signal = state.signals.find(group);
    return rule_.picks || signal == state.signals.end() ? 1 : signal->second.last.value_or(1);
  }
  void observe_step(const StepValues& values, ScheduleState& state) const override {
    if (rule_.picks && state.segment > 0) return;
    const std::vector<std::string> groups = watched(state.active);
    for (const std::string& group : groups) {
      TriggerState& own = state.signals[group];
      if (!own.best) own.best = values.weight_norms.at(group);
      const double norm = values.gradient_norms.at(group);
      if (!std::isfinite(norm)) continue;  // of a step that was skipped
      own.sum += norm;
      ++own.steps;
    }
    if (segment_ended(state)) conclude(groups, state);
  }
  bool segment_ended(const ScheduleState& state) const override {
    if (state.segment == 0) return state.segment_progress.steps >= rule_.probe_steps;
    return !rule_.picks && state.segment_progress.steps >= every_steps();
  }

 private:
  /// Makes factors, or a set, of the segment's norms.
  void conclude(const std::vector<std::string>& groups, ScheduleState& state) const {
    double largest = 0;
    for (const std::string& group : groups) {
      TriggerState& own = state.signals[group];
      const double norm = own.steps > 0 ? own.sum / static_cast<double>(own.steps) : 0;
      // Weights that are all zero are new, and as far from where they go as can be.
      own.last =
          *own.best > 0 ? norm / *own.best : (norm > 0 ? std::numeric_limits<double>::max() : 0);
      largest = std::max(largest, *own.last);
      own.best.reset();
      own.sum = 0;
      own.steps = 0;
    }
    if (rule_.picks) return pick(groups, state);
    for (const std::string& group : groups) {
      double& factor = *state.signals[group].last;
      factor = largest > 0 ? factor / largest : 1;
    }
  }

  /// Of equal ones, that closer to the input.
  void pick(const std::vector<std::string>& groups, ScheduleState& state) const {
    std::vector<std::string> ranked = groups;
    std::stable_sort(ranked.begin(), ranked.end(), [&](const std::string& a, const std::string& b) {
      return *state.signals[a].last > *state.signals[b].last;
    });
    const auto most = static_cast<std::ptrdiff_t>(rule_.groups);
    const std::set<std::string> out(ranked.begin() + most, ranked.end());
    state.next_active = state.active;
    std::erase_if(state.next_active, [&](const std::string& group) { return out.contains(group); });
  }

  RgnRule rule_;
};

std::shared_ptr<const Policy> read_auto_rgn(InnerTable& table, PolicyRule rule,
                                            const PolicyFacts& facts) {
  RgnRule own;
  own.picks = table.text("choose", "rates", {"rates", "set"}) == "set";
  own.groups = table.integer("groups", own.groups, {.least = 1, .most = 1e6});
  own.probe_steps = table.integer("probe-steps", own.probe_steps, {.least = 1, .most = 1e9});
  if (table.good() && own.picks && own.groups > static_cast<std::int64_t>(facts.free)) {
    table.report("groups", fmt::format("{} cannot be picked of {}", own.groups, facts.free));
  }
  return std::make_shared<AutoRgn>(std::move(rule), own);
}

std::vector<std::pair<std::string, OptionValue>> auto_rgn_preset(const ScheduleOptions& /*options*/,
                                                                 const std::string& /*head*/) {
  return {};
}

}  // namespace

PolicyKind auto_rgn_policy() {
  return {"auto-rgn",
          {"choose", "groups", "probe-steps"},
          /*with_input=*/false,
          read_auto_rgn,
          auto_rgn_preset};
}

}  // namespace thaw
