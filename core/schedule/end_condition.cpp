#include "core/schedule/end_condition.h"

#include <fmt/format.h>

#include <algorithm>

namespace thaw {
namespace {

using Kind = EndCondition::Kind;

bool is_leaf(const EndCondition& condition) { return condition.kind == Kind::kTrigger; }

const Trigger& trigger_of(const EndCondition& leaf) {
  static const EndCondition kEpoch = after_epochs(1);
  return leaf.trigger ? *leaf.trigger : *kEpoch.trigger;
}

/// Calls `visit(trigger, state)` for each leaf, from left to right; `states` are the leaves'
/// states, `next` the number of those that were visited before.
template <class Visit>
void for_each_leaf(const EndCondition& condition, std::vector<TriggerState>& states,
                   std::size_t& next, const Visit& visit) {
  if (is_leaf(condition)) {
    visit(trigger_of(condition), states.at(next++));
    return;
  }
  for (const EndCondition& each : condition.conditions) for_each_leaf(each, states, next, visit);
}

void collect_needs(const EndCondition& condition, TriggerNeeds& needs) {
  if (is_leaf(condition)) trigger_of(condition).add_needs(needs);
  for (const EndCondition& each : condition.conditions) collect_needs(each, needs);
}

/// Visits every leaf, so that each meets its own state; `next` is the number of those before.
bool holds(const EndCondition& condition, const ScheduleState& state, std::int64_t train_samples,
           std::size_t& next) {
  if (is_leaf(condition)) {
    return trigger_of(condition).holds(state, state.triggers.at(next++), train_samples);
  }
  std::size_t holding = 0;
  for (const EndCondition& each : condition.conditions) {
    holding += holds(each, state, train_samples, next) ? 1 : 0;
  }
  return condition.kind == Kind::kAny ? holding > 0 : holding == condition.conditions.size();
}

/// Of `any` the shortest of the lengths that are known; of `all` the longest, if all are.
std::optional<std::int64_t> steps_of(const EndCondition& condition, const StageStart& start) {
  if (is_leaf(condition)) return trigger_of(condition).steps(start);
  std::optional<std::int64_t> steps;
  for (const EndCondition& each : condition.conditions) {
    const auto its = steps_of(each, start);
    if (its && condition.kind == Kind::kAny) steps = std::min(steps.value_or(*its), *its);
    if (its && condition.kind == Kind::kAll) steps = std::max(steps.value_or(*its), *its);
    if (!its && condition.kind == Kind::kAll) return std::nullopt;
  }
  return steps;
}

}  // namespace

TriggerNeeds needs_of(const EndCondition& until) {
  TriggerNeeds needs;
  collect_needs(until, needs);
  return needs;
}

std::vector<TriggerState> fresh_triggers(const EndCondition& until) {
  if (is_leaf(until)) return {TriggerState{}};
  std::vector<TriggerState> states;
  for (const EndCondition& each : until.conditions) {
    const auto its = fresh_triggers(each);
    states.insert(states.end(), its.begin(), its.end());
  }
  return states;
}

void observe_step(const EndCondition& until, const StepValues& values, ScheduleState& state) {
  ++state.progress.steps;
  state.progress.samples += values.samples;
  ++state.segment_progress.steps;
  state.segment_progress.samples += values.samples;
  for (auto& [group, steps] : state.steps_since_thawed) ++steps;
  state.seconds = values.seconds;
  if (needs_of(until).loss) {
    const std::int64_t counted = values.counted_tokens < 0 ? values.samples : values.counted_tokens;
    state.loss_sum += values.loss * static_cast<double>(counted);
    state.loss_samples += counted;
  }
  std::size_t next = 0;
  for_each_leaf(until, state.triggers, next, [&](const Trigger& trigger, TriggerState& own) {
    trigger.observe_step(values, own);
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
  for_each_leaf(until, state.triggers, next, [&](const Trigger& trigger, TriggerState& own) {
    trigger.observe_evaluation(all, own);
  });
}

bool stage_ended(const EndCondition& until, const ScheduleState& state,
                 std::int64_t train_samples) {
  std::size_t next = 0;
  return state.progress.steps >= 1 && holds(until, state, train_samples, next);
}

std::optional<std::int64_t> steps_of_stage(const EndCondition& until, std::int64_t start_cursor,
                                           std::int64_t train_samples, std::int64_t global_batch) {
  auto steps = steps_of(until, {start_cursor, train_samples, global_batch});
  if (steps) steps = std::max<std::int64_t>(*steps, 1);
  return steps;
}

bool length_is_known(const EndCondition& until) {
  if (is_leaf(until)) return trigger_of(until).length_is_known();
  return std::all_of(until.conditions.begin(), until.conditions.end(), length_is_known);
}

std::string wrong_length(const EndCondition& until, std::int64_t train_samples,
                         std::int64_t global_batch) {
  if (is_leaf(until)) return trigger_of(until).objection({0, train_samples, global_batch});
  for (const EndCondition& each : until.conditions) {
    std::string wrong = wrong_length(each, train_samples, global_batch);
    if (!wrong.empty()) return wrong;
  }
  return "";
}

std::string toml_text(const EndCondition& until) {
  if (is_leaf(until)) {
    const Trigger& trigger = trigger_of(until);
    return fmt::format("{{ {} = {} }}", trigger.name(), trigger.toml());
  }
  std::string text;
  for (const EndCondition& each : until.conditions) {
    if (!text.empty()) text += ", ";
    text += toml_text(each);
  }
  return fmt::format("{{ {} = [{}] }}", until.kind == Kind::kAny ? "any" : "all", text);
}

std::string plain_text(const EndCondition& until) {
  if (is_leaf(until)) return trigger_of(until).plain();
  std::string text;
  for (const EndCondition& each : until.conditions) {
    if (!text.empty()) text += until.kind == Kind::kAny ? " or " : " and ";
    const bool nested = each.conditions.size() > 1 && each.kind != until.kind;
    text += nested ? "(" + plain_text(each) + ")" : plain_text(each);
  }
  return text;
}

}  // namespace thaw
