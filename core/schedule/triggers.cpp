#include "core/schedule/triggers.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/schedule/metrics.h"

namespace thaw {
namespace {

using Kind = EndCondition::Kind;

/// Calls `visit(leaf, state)` for each leaf, from left to right; `states` are the leaves' states,
/// `next` the number of those that were visited before.
template <class States, class Visit>
void for_each_leaf(const EndCondition& condition, States& states, std::size_t& next,
                   const Visit& visit) {
  if (condition.kind != Kind::kAny && condition.kind != Kind::kAll) {
    visit(condition, states.at(next++));
    return;
  }
  for (const EndCondition& each : condition.conditions) for_each_leaf(each, states, next, visit);
}

void collect_needs(const EndCondition& condition, TriggerNeeds& needs) {
  for (const EndCondition& each : condition.conditions) collect_needs(each, needs);
  if (condition.kind == Kind::kSeconds) needs.seconds = true;
  if (condition.kind == Kind::kGradientSignal) needs.gradients.insert(condition.signal.group);
  if (condition.kind == Kind::kPlateau || condition.kind == Kind::kThreshold) {
    (needs_validation(condition.metric.metric) ? needs.validation : needs.loss) = true;
  }
}

void observe_metric(const EndCondition& leaf, double value, TriggerState& state) {
  state.last = value;
  if (leaf.kind != Kind::kPlateau) return;
  if (is_better(leaf.metric, value, state.best)) {
    state.best = value;
    state.count = 0;
  } else {
    ++state.count;
  }
}

bool reached(const MetricRule& rule, const std::optional<double>& value) {
  if (!value) return false;
  return rule.mode == MetricRule::Mode::kMin ? *value <= rule.value : *value >= rule.value;
}

class Verdict {
 public:
  Verdict(const ScheduleState& state, std::int64_t train_samples)
      : state_(state), train_samples_(train_samples) {}

  /// Visits every leaf, so that each meets its own state.
  bool holds(const EndCondition& condition) {
    if (condition.kind == Kind::kAny || condition.kind == Kind::kAll) {
      std::size_t holding = 0;
      for (const EndCondition& each : condition.conditions) holding += holds(each) ? 1 : 0;
      return condition.kind == Kind::kAny ? holding > 0 : holding == condition.conditions.size();
    }
    return leaf_holds(condition, state_.triggers.at(next_++));
  }

 private:
  bool leaf_holds(const EndCondition& leaf, const TriggerState& trigger) const {
    const StageProgress& progress = state_.progress;
    switch (leaf.kind) {
      case Kind::kSteps:
        return progress.steps >= std::llround(leaf.amount);
      case Kind::kEpochs:
        return progress.samples >= samples_of_epochs(leaf.amount, train_samples_);
      case Kind::kSeconds:
        return state_.seconds >= leaf.amount;
      case Kind::kCurveFinished:
        return state_.curve_start + progress.steps >= std::llround(leaf.amount);
      case Kind::kPlateau:
        return trigger.count >= leaf.metric.patience;
      case Kind::kThreshold:
        return reached(leaf.metric, trigger.last);
      case Kind::kGradientSignal:
        return trigger.count >= leaf.signal.patience;
      case Kind::kAny:
      case Kind::kAll:
        break;
    }
    return false;
  }

  const ScheduleState& state_;
  std::int64_t train_samples_;
  std::size_t next_ = 0;
};

double relative_change(double norm, double before) {
  if (norm == before) return 0;
  return before > 0 ? std::abs(norm - before) / before : std::numeric_limits<double>::infinity();
}

}  // namespace

bool is_better(const MetricRule& rule, double value, const std::optional<double>& best) {
  if (std::isnan(value)) return false;
  if (!best) return true;
  return rule.mode == MetricRule::Mode::kMin ? value < *best - rule.least_change
                                             : value > *best + rule.least_change;
}

TriggerNeeds needs_of(const EndCondition& until) {
  TriggerNeeds needs;
  collect_needs(until, needs);
  return needs;
}

std::vector<TriggerState> fresh_triggers(const EndCondition& until) {
  if (until.kind != Kind::kAny && until.kind != Kind::kAll) return {TriggerState{}};
  std::vector<TriggerState> states;
  for (const EndCondition& each : until.conditions) {
    const auto its = fresh_triggers(each);
    states.insert(states.end(), its.begin(), its.end());
  }
  return states;
}

std::optional<double> observe_norm(std::int64_t every_steps, double norm, TriggerState& state) {
  state.sum += norm;
  if (++state.steps < every_steps) return std::nullopt;
  const double mean = state.sum / static_cast<double>(state.steps);
  std::optional<double> change;
  if (state.last) change = relative_change(mean, *state.last);
  state.last = mean;
  state.sum = 0;
  state.steps = 0;
  return change;
}

void observe_step(const EndCondition& until, const StepValues& values, ScheduleState& state) {
  ++state.progress.steps;
  state.progress.samples += values.samples;
  ++state.segment_progress.steps;
  state.segment_progress.samples += values.samples;
  for (auto& [group, steps] : state.steps_since_thawed) ++steps;
  state.seconds = values.seconds;
  const TriggerNeeds needs = needs_of(until);
  if (needs.loss) {
    state.loss_sum += values.loss * static_cast<double>(values.samples);
    state.loss_samples += values.samples;
  }
  std::size_t next = 0;
  for_each_leaf(until, state.triggers, next, [&](const EndCondition& leaf, TriggerState& trigger) {
    if (leaf.kind != Kind::kGradientSignal) return;
    const SignalRule& rule = leaf.signal;
    const auto change =
        observe_norm(rule.every_steps, values.gradient_norms.at(rule.group), trigger);
    if (change) trigger.count = *change < rule.least_change ? trigger.count + 1 : 0;
  });
}

void observe_evaluation(const EndCondition& until, const MetricValues& metrics,
                        ScheduleState& state) {
  MetricValues all = metrics;
  if (state.loss_samples > 0) {
    all["train/loss"] = state.loss_sum / static_cast<double>(state.loss_samples);
    state.loss_sum = 0;
    state.loss_samples = 0;
  }
  std::size_t next = 0;
  for_each_leaf(until, state.triggers, next, [&](const EndCondition& leaf, TriggerState& trigger) {
    const auto value = all.find(leaf.metric.metric);
    if (value != all.end()) observe_metric(leaf, value->second, trigger);
  });
}

bool stage_ended(const EndCondition& until, const ScheduleState& state,
                 std::int64_t train_samples) {
  return state.progress.steps >= 1 && Verdict(state, train_samples).holds(until);
}

}  // namespace thaw
