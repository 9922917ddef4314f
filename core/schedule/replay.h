#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "core/schedule/schedule.h"

namespace thaw {

/// A stage, or a segment of one with a policy, as it began in a run.
struct HappenedStage {
  std::string name;
  std::size_t index = 0;            ///< of the stage in the run's schedule
  std::vector<std::string> groups;  ///< active
  std::int64_t step = 0;            ///< committed steps of the run until then
  std::int64_t curve_steps = 0;     ///< of the learning rates' curve; 0: it has no length
};

/// The stages of a run of `steps` steps as explicit ones, each of as many steps as it had: in place
/// of `planned`, the run's schedule, they give the identical run.
///
/// `happened` is in the order of the run. Throws InputError where it is not of this schedule, and
/// where a policy scaled rates.
Schedule replay_of(const Schedule& planned, const std::vector<HappenedStage>& happened,
                   std::int64_t steps);

}  // namespace thaw
