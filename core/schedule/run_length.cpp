#include "core/schedule/run_length.h"

#include <algorithm>

#include "core/schedule/end_condition.h"
#include "core/schedule/stage_length.h"
#include "core/schedule/stage_plan.h"

namespace thaw {

std::optional<RunLength> run_length_left(const Schedule& schedule, const ScheduleState& state,
                                         std::int64_t cursor, std::int64_t train_samples,
                                         std::int64_t global_batch) {
  RunLength length;
  std::int64_t done = state.running ? state.progress.steps : 0;
  std::int64_t start = state.running ? cursor - state.progress.samples : cursor;
  for (std::size_t i = state.stage; i < schedule.stages.size(); ++i) {
    const EndCondition& until = schedule.stages[i].until;
    const bool over = state.running && i == state.stage && state.ended;
    const auto steps = steps_of_stage(until, start, train_samples, global_batch);
    if (!steps && !over) return std::nullopt;
    length.by_stage.push_back(over ? 0 : std::max<std::int64_t>(*steps - done, 0));
    length.steps_left += length.by_stage.back();
    length.may_be_fewer = length.may_be_fewer || (!over && !length_is_known(until));
    start = over ? cursor : advance_cursor(start, *steps, train_samples, global_batch);
    done = 0;
  }
  return length;
}

double step_effort(const StagePlan& plan, std::span<const double> forward_seconds) {
  std::vector<bool> active(forward_seconds.size());
  for (const ParameterFacts& parameter : plan.parameters()) {
    active.at(parameter.place.value_or(parameter.group)) = true;
  }
  double effort = 0;
  for (std::size_t place = 0; place < forward_seconds.size(); ++place) {
    const int passes = 1 + (place >= plan.cut() ? 1 : 0) + (active[place] ? 1 : 0);
    effort += passes * forward_seconds[place];
  }
  return effort;
}

double steps_worth(const RunLength& left, std::span<const double> efforts, double now) {
  double worth = static_cast<double>(left.by_stage.empty() ? 0 : left.by_stage.front());
  const std::size_t first = efforts.size() - left.by_stage.size();
  for (std::size_t i = 1; i < left.by_stage.size(); ++i) {
    worth += static_cast<double>(left.by_stage[i]) * efforts[first + i] / now;
  }
  return worth;
}

}  // namespace thaw
