#include "core/schedule/group_rates.h"

#include <algorithm>

#include "core/schedule/curves/curve.h"
#include "core/schedule/policies/policy.h"

namespace thaw {
namespace {

double warmup_factor(const Stage& stage, const std::string& group, const ScheduleState& state) {
  const auto thawed = state.steps_since_thawed.find(group);
  const std::int64_t warmup = stage.thawed_warmup_steps;
  if (thawed == state.steps_since_thawed.end() || thawed->second >= warmup) return 1;
  return static_cast<double>(thawed->second + 1) / static_cast<double>(warmup + 1);
}

}  // namespace

std::vector<double> group_rates(const Stage& stage, const ScheduleState& state) {
  const auto& first = state.first_active;
  std::vector<double> rates;
  for (std::size_t i = 0; i < stage.groups.size(); ++i) {
    const std::string& group = stage.groups[i];
    const double factor = curve_factor(stage.curve, group, state.curve_start + state.progress.steps,
                                       state.curve_length);
    double rate = stage.learning_rates[i] * factor;
    if (stage.thawed_warmup_steps > 0) rate *= warmup_factor(stage, group, state);
    if (stage.policy) rate *= stage.policy->rate_factor(group, state);
    const bool capped =
        stage.thawed_rate_cap > 0 && std::find(first.begin(), first.end(), group) == first.end();
    rates.push_back(capped ? std::min(rate, stage.thawed_rate_cap) : rate);
  }
  return rates;
}

bool rates_part_by_group(const Stage& stage) {
  return stage.thawed_warmup_steps > 0 || stage.thawed_rate_cap > 0 ||
         !stage.curve.group_steps.empty() || (stage.policy && stage.policy->scales_rates());
}

}  // namespace thaw
