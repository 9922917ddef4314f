#include "core/schedule/schedule_run.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/base/error.h"
#include "core/schedule/end_condition.h"
#include "core/schedule/group_rates.h"
#include "core/schedule/policies/policy.h"

namespace thaw {
namespace {

// Memory made ready early is memory that the running stage would not need; late enough that it
// shows in its last steps alone, and early enough for the pages of a few hundred MB.
constexpr std::int64_t kStepsAhead = 2;

bool contains(const std::vector<std::string>& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

/// Segment `segment` of a stage with a policy, with the groups that are foreseen for it.
std::optional<Stage> foreseen_segment(const Stage& whole, std::int64_t segment) {
  const auto groups = whole.policy->foreseen(whole.groups, segment);
  if (!groups) return std::nullopt;
  Stage stage = with_groups(whole, *groups);
  stage.name = fmt::format("{}/{}", whole.name, segment);
  return stage;
}

}  // namespace

ScheduleRun::ScheduleRun(const Schedule& schedule, std::int64_t train_samples, std::int64_t batch)
    : schedule_(schedule), train_samples_(train_samples), batch_(batch) {}

void ScheduleRun::restore(const ScheduleState& state) {
  const std::size_t stages = schedule_.stages.size();
  bool fits = state.stage <= stages && !(state.running && state.stage == stages);
  if (fits && state.running) {
    const Stage& stage = schedule_.stages[state.stage];
    fits = state.triggers.size() == fresh_triggers(stage.until).size() &&
           std::all_of(state.active.begin(), state.active.end(),
                       [&](const std::string& group) { return contains(stage.groups, group); });
  }
  if (!fits) {
    throw InputError(
        "the state of the schedule is of another schedule: its stages or their ends were changed");
  }
  state_ = state;
}

bool ScheduleRun::begin_stage(std::int64_t cursor) {
  if (state_.stage >= schedule_.stages.size()) return false;
  thawed_.clear();
  if (!state_.running) enter(cursor);
  const Stage& whole = schedule_.stages[state_.stage];
  if (state_.segment_progress.steps == 0) choose_groups(whole);
  stage_ = with_groups(whole, state_.active);
  needs_ = needs_of(stage_.until);
  const std::int64_t start = cursor - state_.progress.samples;
  stage_steps_ = steps_of_stage(stage_.until, start, train_samples_, batch_).value_or(0);
  if (!stage_.policy) return true;
  stage_.name = fmt::format("{}/{}", whole.name, state_.segment);
  for (const std::string& group : stage_.policy->watched(state_.active)) {
    needs_.gradients.insert(group);
    if (stage_.policy->watches_weights()) needs_.weights.insert(group);
  }
  if (stage_steps_ > 0) stage_steps_ -= state_.progress.steps - state_.segment_progress.steps;
  const std::int64_t most = stage_.policy->segment_steps();
  if (most > 0) stage_steps_ = stage_steps_ > 0 ? std::min(stage_steps_, most) : most;
  return true;
}

/// The first segment of the stage in turn, whatever runs before it.
void ScheduleRun::enter(std::int64_t cursor) {
  const Stage& whole = schedule_.stages[state_.stage];
  state_.running = true;
  state_.triggers = fresh_triggers(whole.until);
  if (!whole.curve.continued) {
    state_.curve_start = 0;
    state_.curve_length = steps_of_curve(schedule_, state_.stage, cursor, train_samples_, batch_);
  }
}

/// Sets what is active from now on, and notes what that thaws.
void ScheduleRun::choose_groups(const Stage& whole) {
  const std::vector<std::string> before = state_.active;
  const auto foreseen =
      whole.policy ? whole.policy->foreseen(whole.groups, state_.segment) : whole.groups;
  if (foreseen) {
    state_.active = *foreseen;
  } else if (!state_.next_active.empty()) {
    state_.active = state_.next_active;
  }
  state_.next_active.clear();
  const bool first_of_run = state_.stage == 0 && state_.segment == 0;
  if (first_of_run) state_.first_active = state_.active;
  std::map<std::string, std::int64_t> since;
  for (const std::string& group : state_.active) {
    const bool stays = contains(before, group) && !first_of_run;
    if (!stays) thawed_.push_back(group);
    if (first_of_run) continue;
    const auto known = state_.steps_since_thawed.find(group);
    if (!stays) {
      since[group] = 0;
    } else if (known != state_.steps_since_thawed.end()) {
      since.insert(*known);
    }
  }
  state_.steps_since_thawed = since;
}

void ScheduleRun::commit_step(const StepValues& values) {
  observe_step(stage_.until, values, state_);
  if (stage_.policy) stage_.policy->observe_step(values, state_);
  state_.ended = state_.ended || stage_ended(stage_.until, state_, train_samples_);
}

bool ScheduleRun::commit_evaluation(const MetricValues& metrics) {
  observe_evaluation(stage_.until, metrics, state_);
  state_.ended = state_.ended || stage_ended(stage_.until, state_, train_samples_);
  if (!stage_.restore_best) return false;
  const auto value = metrics.find(stage_.restore_best->metric);
  if (value == metrics.end()) return false;
  if (!is_better(*stage_.restore_best, value->second, state_.best)) return false;
  state_.best = value->second;
  return true;
}

bool ScheduleRun::segment_ended() const {
  return stage_.policy && stage_.policy->segment_ended(state_);
}

void ScheduleRun::end_stage() {
  if (!state_.ended && stage_.policy) {
    ++state_.segment;
    state_.segment_progress = {};
    return;
  }
  ScheduleState next;
  next.stage = state_.stage + 1;
  next.active = state_.active;
  next.first_active = state_.first_active;
  next.steps_since_thawed = state_.steps_since_thawed;
  next.curve_start = state_.curve_start + state_.progress.steps;
  next.curve_length = state_.curve_length;
  state_ = next;
}

std::vector<double> ScheduleRun::rates() const { return group_rates(stage_, state_); }

bool ScheduleRun::ends_soon() const {
  return stage_steps_ > 0 && stage_steps_ - progress().steps <= kStepsAhead;
}

std::optional<Stage> ScheduleRun::next_stage() const {
  const Stage& whole = schedule_.stages[state_.stage];
  if (whole.policy) {
    auto segment = foreseen_segment(whole, state_.segment + 1);
    if (segment) return segment;
  }
  const std::size_t index = state_.stage + 1;
  if (index >= schedule_.stages.size()) return std::nullopt;
  const Stage& next = schedule_.stages[index];
  return next.policy ? foreseen_segment(next, 0) : next;
}

Stage with_groups(const Stage& stage, const std::vector<std::string>& groups) {
  Stage part = stage;
  part.groups.clear();
  part.learning_rates.clear();
  for (std::size_t i = 0; i < stage.groups.size(); ++i) {
    if (!contains(groups, stage.groups[i])) continue;
    part.groups.push_back(stage.groups[i]);
    part.learning_rates.push_back(stage.learning_rates[i]);
  }
  return part;
}

std::int64_t steps_of_curve(const Schedule& schedule, std::size_t index, std::int64_t cursor,
                            std::int64_t train_samples, std::int64_t batch) {
  const Curve& curve = schedule.stages[index].curve;
  if (curve.steps > 0) return curve.steps;
  std::int64_t sum = 0;
  for (std::size_t i = index; i < schedule.stages.size(); ++i) {
    if (i > index && !schedule.stages[i].curve.continued) break;
    const auto steps = steps_of_stage(schedule.stages[i].until, cursor, train_samples, batch);
    if (!steps) return 0;
    sum += *steps;
    cursor = advance_cursor(cursor, *steps, train_samples, batch);
  }
  return sum;
}

}  // namespace thaw
