#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "core/schedule/stage_length.h"

namespace thaw {

// Note [State of a schedule]
// All that a run's decisions depend on, besides the schedule itself and the cursor, is one plain
// value: which stage runs, how far it has come, what its triggers, curve and policy remember. Every
// change to it is a pure function of itself and of values that all ranks agreed on, so it is equal
// on all ranks after every step, and what a checkpoint must hold of a schedule is this value
// (schedule_state_json.h).

/// What one trigger of `until` remembers; of a gradient signal also what a policy remembers of a
/// group. Which members mean something depends on the trigger's kind.
struct TriggerState {
  std::optional<double> best = {};  ///< plateau: the best value so far
  std::optional<double> last =
      {};                  ///< threshold: the newest value; signal: mean norm at the last check
  std::int64_t count = 0;  ///< plateau: evaluations since `best`; signal: small changes in a row
  double sum = 0;          ///< signal: norms since the last check
  std::int64_t steps = 0;  ///< signal: steps since the last check

  friend bool operator==(const TriggerState&, const TriggerState&) = default;
};

/// See Note [State of a schedule].
struct ScheduleState {
  std::size_t stage = 0;   ///< index of the stage that runs, or, between two, of the one to come
  bool running = false;    ///< the stage has begun
  bool ended = false;      ///< and is over, which stays so whatever a last evaluation says
  StageProgress progress;  ///< of the stage
  double seconds = 0;      ///< of the stage, by rank 0's clock, summed over resumes
  double loss_sum = 0;     ///< of the samples trained since the last evaluation, where
  std::int64_t loss_samples = 0;          ///< a trigger watches train/loss; and their number, or
                                          ///< that of their counted tokens
  std::optional<double> best;             ///< value of `restore_best`'s metric in the stage so far
  std::vector<TriggerState> triggers;     ///< of the leaves of `until`, from left to right
  std::int64_t curve_start = 0;           ///< steps of the curve that stages before this one made
  std::int64_t curve_length = 0;          ///< steps of the whole curve; 0: it has no end of its own
  std::int64_t segment = 0;               ///< of a policy's stage: how often its set was chosen
  StageProgress segment_progress;         ///< since the set was chosen
  std::vector<std::string> active;        ///< groups of the running, else of the last stage
  std::vector<std::string> next_active;   ///< where a policy has decided on another set than that
  std::vector<std::string> first_active;  ///< groups of the run's first stage
  std::map<std::string, std::int64_t> steps_since_thawed;  ///< of each active group
  std::map<std::string, TriggerState> signals;  ///< of policies that watch gradients, by group

  friend bool operator==(const ScheduleState&, const ScheduleState&) = default;
};

}  // namespace thaw
