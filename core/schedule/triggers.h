#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>

#include "core/schedule/schedule.h"
#include "core/schedule/schedule_state.h"

namespace thaw {

// Note [Triggers]
// A trigger holds or does not hold after each step; `any` and `all` combine what holds at that
// moment. Of a stage of which nothing but its progress is asked, nothing else is measured.
//
// - epochs, steps, seconds: so much has passed since the stage's start.
// - curve-finished: the learning rates' curve has come to its end (`curve.steps`).
// - plateau: at least `patience` evaluations since the best value of the metric. A value is a new
//   best if it is better by more than `least-change`; a NaN never is. A new best ends the plateau.
// - threshold: the newest value of the metric is at least (mode "min": at most) the value.
// - gradient-signal: AutoFreeze's measure (Liu, Agarwal and Venkataraman, 2021, section 4): with n
//   the 2-norm of the group's gradient, averaged over the `every-steps` steps up to a check,
//   |n − n'| / n', n' that of the check before. It holds if that was below `least-change` at the
//   last `patience` checks. (AutoFreeze takes the norm of the summed gradient, which costs the
//   memory of one more gradient.)
//
// A stage that has come to no step has not ended.

/// What must be measured besides progress. Each costs a wait for the device and a small collective
/// a step, but for the validation metrics.
struct TriggerNeeds {
  bool loss = false;     ///< the training loss of each step
  bool seconds = false;  ///< rank 0's clock
  bool validation = false;
  std::set<std::string> gradients;  ///< groups whose gradient norm of each step is asked for
};
TriggerNeeds needs_of(const EndCondition& until);

/// What one committed step came to; equal on all ranks. What nobody needs is left at 0.
struct StepValues {
  std::int64_t samples = 0;
  double loss = 0;                                    ///< mean over the global batch
  double seconds = 0;                                 ///< since the stage's start, all in all
  std::map<std::string, double> gradient_norms = {};  ///< by group
};

/// Metrics of one evaluation by name, without `train/loss`; equal on all ranks.
using MetricValues = std::map<std::string, double>;

/// Trigger states of a stage that begins.
std::vector<TriggerState> fresh_triggers(const EndCondition& until);

/// A step was committed.
void observe_step(const EndCondition& until, const StepValues& values, ScheduleState& state);

/// It was time for an evaluation; `metrics` is empty where there is no validation split.
void observe_evaluation(const EndCondition& until, const MetricValues& metrics,
                        ScheduleState& state);

/// Whether the stage is over.
bool stage_ended(const EndCondition& until, const ScheduleState& state, std::int64_t train_samples);

/// Whether `value` is a new best by the rule; the first one is, a NaN never.
bool is_better(const MetricRule& rule, double value, const std::optional<double>& best);

/// One step of a gradient signal: adds a norm to those since the last check. Where `every_steps`
/// have come, that is a check: returns the relative change of their mean since the check before,
/// nothing at the first.
std::optional<double> observe_norm(std::int64_t every_steps, double norm, TriggerState& state);

}  // namespace thaw
