#pragma once

#include <string>

#include "core/base/stopwatch.h"
#include "core/record/observer.h"

namespace thaw {

/// Whether what this process writes to standard error appears on a terminal that someone watches.
/// Under mpirun that is mpirun's own standard error, which this process's is piped to.
bool watched_on_terminal();

/// Shows a run to whoever watches it: one line that changes on a terminal, timed lines elsewhere
/// (both on standard error), and a table at each transition and at the end (standard output).
class Progress final : public TrainingObserver {
 public:
  /// `mode`: `auto` (a line where someone watches a terminal), `line`, `log` or `off`.
  explicit Progress(const std::string& mode);

  void transition(const TransitionReport& report) override;
  void step(const StepReport& report) override;
  void evaluation(const EvaluationReport& report) override;
  void retention(const RetentionReport& report) override;
  void checkpoint(const CheckpointReport& report) override;
  void resume(const ResumeReport& report) override;
  void end(const RunSummary& summary) override;

 private:
  enum class Mode { kLine, kLog, kOff };

  void clear_line();

  Mode mode_;
  Stopwatch since_shown_;
  Stopwatch since_stage_;
  bool line_shown_ = false;
  bool first_of_stage_ = true;
};

}  // namespace thaw
