// `gradient-guided`: every `every-steps` steps, `groups` of the stage's groups are drawn, those of
// larger gradients more often (as AdaGradSelect, 2025, and GRASS, 2026, do), and those of `always`
// join them. A group's weight in the draw is the mean norm of its gradients when it was last
// active; one that has not been active yet has the largest of the others', so that each comes to
// its turn. Of all draws, the share `explore` is uniform. (The papers take the gradients of all
// groups in every step, which costs a whole backward; here a frozen group costs nothing.)
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>
#include <utility>

#include "core/config/toml_text.h"
#include "core/schedule/policies/drawing.h"
#include "core/schedule/policies/policy.h"

namespace thaw {
namespace {

struct GuidedRule {
  DrawRule draw;
  double explore = 0.1;
};

/// Evenly in [0, 1), by sums and products alone: the same on every machine.
double uniform(std::uint64_t bits) { return static_cast<double>(bits >> 11) * 0x1p-53; }

/// Remembers in `signals`, of each group that was active, the mean norm in `last`, and since the
/// segment began the norms' `sum` and the `steps`.
class GradientGuided final : public Policy {
 public:
  GradientGuided(PolicyRule policy_rule, GuidedRule rule, std::vector<std::string> all)
      : Policy(std::move(policy_rule)), rule_(rule), all_(std::move(all)) {}

  std::string_view name() const override { return "gradient-guided"; }
  std::string own_toml() const override {
    return fmt::format(", groups = {}, seed = {}, explore = {}", rule_.draw.groups, rule_.draw.seed,
                       toml_text(rule_.explore));
  }
  std::string plain(const std::string& groups) const override {
    return fmt::format("{} drawn by gradients every {} steps of {}", rule_.draw.groups,
                       every_steps(), groups);
  }
  std::optional<std::vector<std::string>> foreseen(const std::vector<std::string>& /*groups*/,
                                                   std::int64_t segment) const override {
    return segment == 0 ? std::optional(drawn({}, 0)) : std::nullopt;
  }
  std::int64_t segment_steps() const override { return every_steps(); }
  std::vector<std::string> watched(const std::vector<std::string>& active) const override {
    return chosen_among(active);
  }
  void observe_step(const StepValues& values, ScheduleState& state) const override {
    const std::vector<std::string> groups = watched(state.active);
    const bool over = state.segment_progress.steps >= every_steps();
    for (const std::string& group : groups) {
      TriggerState& own = state.signals[group];
      const double norm = values.gradient_norms.at(group);
      if (std::isfinite(norm)) {  // else of a step that was skipped
        own.sum += norm;
        ++own.steps;
      }
      if (!over) continue;
      if (own.steps > 0) own.last = own.sum / static_cast<double>(own.steps);
      own.sum = 0;
      own.steps = 0;
    }
    if (over) state.next_active = drawn(state.signals, state.segment + 1);
  }

 private:
  std::vector<std::string> drawn(const std::map<std::string, TriggerState>& signals,
                                 std::int64_t segment) const {
    std::vector<std::string> urn = chosen_among(all_);
    std::vector<double> weights = weights_of(urn, signals);
    std::set<std::string> active(always().begin(), always().end());
    std::uint64_t key = first_bits(rule_.draw, segment);
    for (std::int64_t i = 0; i < rule_.draw.groups; ++i) {
      double sum = 0;
      for (const double weight : weights) sum += weight;
      double place = uniform(key = mixed_bits(key)) * sum;
      std::size_t taken = 0;
      while (taken + 1 < urn.size() && place >= weights[taken]) place -= weights[taken++];
      active.insert(urn[taken]);
      urn.erase(urn.begin() + static_cast<std::ptrdiff_t>(taken));
      weights.erase(weights.begin() + static_cast<std::ptrdiff_t>(taken));
    }
    std::vector<std::string> ordered;
    for (const std::string& group : all_) {
      if (active.contains(group)) ordered.push_back(group);
    }
    return ordered;
  }

  /// Of each group of the urn; they come to 1.
  std::vector<double> weights_of(const std::vector<std::string>& urn,
                                 const std::map<std::string, TriggerState>& signals) const {
    std::vector<double> norms(urn.size(), -1);
    double largest = 0;
    for (std::size_t i = 0; i < urn.size(); ++i) {
      const auto signal = signals.find(urn[i]);
      if (signal == signals.end() || !signal->second.last) continue;
      norms[i] = *signal->second.last;
      largest = std::max(largest, norms[i]);
    }
    if (largest == 0) largest = 1;  // nothing is known, or no gradient was
    double sum = 0;
    for (double& norm : norms) {
      if (norm < 0) norm = largest;
      norm /= largest;
      sum += norm;
    }
    const double even = 1 / static_cast<double>(urn.size());
    for (double& norm : norms) {
      norm = sum > 0 ? rule_.explore * even + (1 - rule_.explore) * (norm / sum) : even;
    }
    return norms;
  }

  GuidedRule rule_;
  std::vector<std::string> all_;  ///< groups of the stage
};

std::shared_ptr<const Policy> read_gradient_guided(InnerTable& table, PolicyRule rule,
                                                   const PolicyFacts& facts) {
  GuidedRule own;
  own.explore = table.number("explore", own.explore, {.least = 0, .most = 1});
  own.draw = read_draw(table, facts);
  return std::make_shared<GradientGuided>(std::move(rule), own, facts.groups);
}

}  // namespace

PolicyKind gradient_guided_policy() {
  return {"gradient-guided",
          {"groups", "seed", "explore"},
          /*with_input=*/true,
          read_gradient_guided,
          draw_preset};
}

}  // namespace thaw
