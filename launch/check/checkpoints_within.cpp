#include "launch/check/checkpoints_within.h"

#include <optional>

#include "core/schedule/end_condition.h"
#include "core/schedule/schedule.h"
#include "core/schedule/stage_length.h"

namespace thaw {

std::vector<bool> checkpoints_within(const Schedule& schedule, const SavingSteps& steps) {
  const std::int64_t every = steps.every;
  if (every <= 0) return std::vector<bool>(schedule.stages.size(), false);
  std::vector<bool> within;
  std::int64_t cursor = 0;
  std::optional<std::int64_t> begun = 0;  // steps before the stage; none: nobody knows
  for (const Stage& stage : schedule.stages) {
    const auto most = steps_of_stage(stage.until, cursor, steps.train_samples, steps.batch);
    // The checkpoint of its last step is the transition's.
    const bool may = !most || (begun ? (*begun + *most - 1) / every > *begun / every : *most > 1);
    within.push_back(may);
    if (!begun || !most || !length_is_known(stage.until)) {
      begun.reset();
      continue;
    }
    *begun += *most;
    cursor = advance_cursor(cursor, *most, steps.train_samples, steps.batch);
  }
  return within;
}

}  // namespace thaw
