#pragma once

#include <cstdint>

#include "core/schedule/schedule.h"
#include "core/schedule/schedule_state.h"
#include "core/schedule/triggers.h"

namespace thaw {

/// Walks through a schedule as a run goes: which stage it is in, how far, and whether that is over.
///
/// Every rank has one of its own and tells it the same agreed values, so all of them come to the
/// same verdicts at the same steps. All that it remembers is its state: see Note [State of a
/// schedule]. It does nothing to the model.
class ScheduleRun {
 public:
  /// `schedule` is borrowed; `train_samples` and `batch` (global) are above 0.
  ScheduleRun(const Schedule& schedule, std::int64_t train_samples, std::int64_t batch);

  /// Goes on from a state that another instance over an equal schedule had. Call before
  /// `begin_stage`. Throws InputError where it does not fit the schedule.
  void restore(const ScheduleState& state);

  /// Enters the next stage with the first sample at `cursor`; a stage that a restored state was in
  /// goes on. False where no stage is left.
  bool begin_stage(std::int64_t cursor);
  /// A step was committed. `values` has what `needs()` asks for.
  void commit_step(const StepValues& values);
  /// It was time for an evaluation; `metrics` is empty where there is no validation split.
  void commit_evaluation(const MetricValues& metrics);
  /// Whether the stage is over, by what was committed so far.
  bool ended() const { return state_.ended; }
  /// Leaves the stage.
  void end_stage();

  /// The stage that runs.
  const Stage& stage() const { return stage_; }
  const TriggerNeeds& needs() const { return needs_; }
  /// The most steps that it can have; 0: nobody knows.
  std::int64_t stage_steps() const { return stage_steps_; }
  /// Factor on every learning rate in the step to come.
  double rate_factor() const;
  /// True in the last steps of a stage whose end is known.
  bool ends_soon() const;
  /// The stage after this one; null where there is none, or nobody knows yet.
  const Stage* next_stage() const;

  const ScheduleState& state() const { return state_; }

 private:
  const Schedule& schedule_;
  std::int64_t train_samples_, batch_;
  ScheduleState state_;
  // Derived from schedule, state and cursor when a stage is entered.
  Stage stage_;
  TriggerNeeds needs_;
  std::int64_t stage_steps_ = 0;
};

}  // namespace thaw
