#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/schedule/schedule.h"
#include "core/schedule/schedule_state.h"
#include "core/schedule/step_values.h"

namespace thaw {

/// Walks through a schedule as a run goes: which stage it is in, how far, and whether that is over.
///
/// Every rank has one of its own and tells it the same agreed values, so all of them come to the
/// same verdicts at the same steps. All that it remembers is its state: see Note [State of a
/// schedule]. It does nothing to the model. A stage with a policy comes in segments, each of which
/// is a stage to the caller: see Note [Policies].
class ScheduleRun {
 public:
  /// `schedule` is borrowed; `train_samples` and `batch` (global) are above 0.
  ScheduleRun(const Schedule& schedule, std::int64_t train_samples, std::int64_t batch);

  /// Goes on from a state that another instance over an equal schedule had. Call before
  /// `begin_stage`. Throws InputError where it does not fit the schedule.
  void restore(const ScheduleState& state);

  /// Enters the next stage, or the next segment of one, with the first sample at `cursor`; one that
  /// a restored state was in goes on. False where none is left.
  bool begin_stage(std::int64_t cursor);
  /// A step was committed. `values` has what `needs()` asks for.
  void commit_step(const StepValues& values);
  /// It was time for an evaluation; `metrics` is empty where there is no validation split. True
  /// where it is the stage's best by the metric `restore_best`: its weights are to be kept.
  bool commit_evaluation(const MetricValues& metrics);
  /// Whether the stage or segment is over, by what was committed so far.
  bool ended() const { return state_.ended || segment_ended(); }
  /// Whether that ends the stage itself, and not a segment of it alone.
  bool whole_stage_ended() const { return state_.ended; }
  /// Leaves the stage or segment.
  void end_stage();

  /// The stage that runs. In a segment, its groups are the active ones.
  const Stage& stage() const { return stage_; }
  const TriggerNeeds& needs() const { return needs_; }
  /// The most steps that it can have; 0: nobody knows.
  std::int64_t stage_steps() const { return stage_steps_; }
  /// Steps since it began.
  const StageProgress& progress() const { return state_.segment_progress; }
  /// Of each of the stage's groups in the step to come: see `group_rates`.
  std::vector<double> rates() const;
  /// True in the last steps of a stage whose end is known.
  bool ends_soon() const;
  /// The stage after this one; nothing where there is none, or nobody knows yet.
  std::optional<Stage> next_stage() const;

  /// Until the first step: the stage was entered just now, and what it begins with is to be made
  /// so (the optimizer's state).
  bool entered_now() const { return progress().steps == 0; }
  /// The active groups that were frozen just before it was entered.
  const std::vector<std::string>& thawed() const { return thawed_; }

  const ScheduleState& state() const { return state_; }

 private:
  void enter(std::int64_t cursor);
  void choose_groups(const Stage& whole);
  bool segment_ended() const;

  const Schedule& schedule_;
  std::int64_t train_samples_, batch_;
  ScheduleState state_;
  // Derived from schedule, state and cursor when a stage is entered.
  Stage stage_;
  TriggerNeeds needs_;
  std::int64_t stage_steps_ = 0;
  std::vector<std::string> thawed_;
};

/// `stage` with these groups alone, out of its own.
Stage with_groups(const Stage& stage, const std::vector<std::string>& groups);

/// Steps of the curve that stage `index`, which begins at `cursor`, starts: of its own length, or
/// of this stage and all that continue it. 0 where there is no length to be known.
std::int64_t steps_of_curve(const Schedule& schedule, std::size_t index, std::int64_t cursor,
                            std::int64_t train_samples, std::int64_t batch);

}  // namespace thaw
