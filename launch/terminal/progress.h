#pragma once

#include "core/base/stopwatch.h"
#include "core/config/choices.h"
#include "core/record/observer.h"

namespace thaw {

/// Whether what this process writes to standard error appears on a terminal that someone watches.
/// Under mpirun that is mpirun's own standard error, which this process's is piped to.
bool watched_on_terminal();

/// Shows a run to whoever watches it: one line that changes on a terminal, timed lines elsewhere
/// (both on standard error), and a table at each transition and at the end (standard output).
class Progress final : public TrainingObserver {
 public:
  explicit Progress(ProgressStyle style);

  void transition(const TransitionReport& report) override;
  void step(const StepReport& report) override;
  void evaluation(const EvaluationReport& report) override;
  void samples(const SamplesReport& report) override;
  void forgetting(const ForgettingReport& report) override;
  void checkpoint(const CheckpointReport& report) override;
  void resume(const ResumeReport& report) override;
  void end(const RunSummary& summary) override;

 private:
  void clear_line();

  ProgressStyle style_;  ///< never kAuto
  Stopwatch since_shown_;
  Stopwatch since_stage_;
  bool line_shown_ = false;
  bool first_of_stage_ = true;
};

}  // namespace thaw
