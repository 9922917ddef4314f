#include "core/schedule/run_length.h"

#include <algorithm>

#include "core/schedule/end_condition.h"
#include "core/schedule/stage_length.h"

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
    length.steps_left += over ? 0 : std::max<std::int64_t>(*steps - done, 0);
    length.may_be_fewer = length.may_be_fewer || (!over && !length_is_known(until));
    start = over ? cursor : advance_cursor(start, *steps, train_samples, global_batch);
    done = 0;
  }
  return length;
}

}  // namespace thaw
