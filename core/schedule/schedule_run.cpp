#include "core/schedule/schedule_run.h"

#include <fmt/format.h>

#include "core/base/error.h"
#include "core/schedule/curve.h"

namespace thaw {
namespace {

// Memory made ready early is memory that the running stage would not need; late enough that it
// shows in its last steps alone, and early enough for the pages of a few hundred MB.
constexpr std::int64_t kStepsAhead = 2;

}  // namespace

ScheduleRun::ScheduleRun(const Schedule& schedule, std::int64_t train_samples, std::int64_t batch)
    : schedule_(schedule), train_samples_(train_samples), batch_(batch) {}

void ScheduleRun::restore(const ScheduleState& state) {
  const std::size_t stages = schedule_.stages.size();
  const bool fits =
      state.stage <= stages && !(state.running && state.stage == stages) &&
      (!state.running ||
       state.triggers.size() == fresh_triggers(schedule_.stages[state.stage].until).size());
  if (!fits) {
    throw InputError(
        "the state of the schedule is of another schedule: its stages or their ends "
        "were changed");
  }
  state_ = state;
}

bool ScheduleRun::begin_stage(std::int64_t cursor) {
  if (state_.stage >= schedule_.stages.size()) return false;
  stage_ = schedule_.stages[state_.stage];
  needs_ = needs_of(stage_.until);
  const std::int64_t start = cursor - state_.progress.samples;
  stage_steps_ = steps_of_stage(stage_.until, start, train_samples_, batch_).value_or(0);
  if (state_.running) return true;
  state_.running = true;
  state_.triggers = fresh_triggers(stage_.until);
  state_.curve_length = stage_.curve.steps > 0 ? stage_.curve.steps : stage_steps_;
  state_.active = stage_.groups;
  return true;
}

void ScheduleRun::commit_step(const StepValues& values) {
  observe_step(stage_.until, values, state_);
  state_.ended = state_.ended || stage_ended(stage_.until, state_, train_samples_);
}

void ScheduleRun::commit_evaluation(const MetricValues& metrics) {
  observe_evaluation(stage_.until, metrics, state_);
  state_.ended = state_.ended || stage_ended(stage_.until, state_, train_samples_);
}

void ScheduleRun::end_stage() {
  ScheduleState next;
  next.stage = state_.stage + 1;
  next.active = state_.active;
  state_ = next;
}

double ScheduleRun::rate_factor() const {
  return curve_factor(stage_.curve, state_.curve_start + state_.progress.steps,
                      state_.curve_length);
}

bool ScheduleRun::ends_soon() const {
  return stage_steps_ > 0 && stage_steps_ - state_.progress.steps <= kStepsAhead;
}

const Stage* ScheduleRun::next_stage() const {
  const std::size_t next = state_.stage + 1;
  return next < schedule_.stages.size() ? &schedule_.stages[next] : nullptr;
}

}  // namespace thaw
