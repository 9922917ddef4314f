#pragma once

#include <cstdint>
#include <string>

#include "core/base/stopwatch.h"
#include "core/config/choices.h"
#include "core/record/observer.h"
#include "launch/terminal/progress_line.h"

namespace thaw {

/// Shows a run to whoever watches it: one line that changes on a terminal, timed lines elsewhere
/// (both on standard error), and a table at each transition and at the end (standard output). What
/// is shown fits the screen. See Note [The line that moves].
class Progress final : public TrainingObserver {
 public:
  explicit Progress(ProgressStyle style);

  bool step_reads_weights() const override { return false; }
  void transition(const TransitionReport& report) override;
  void step(const StepReport& report) override;
  void activity(const ActivityReport& report) override;
  void evaluation(const EvaluationReport& report) override;
  void samples(const SamplesReport& report) override;
  void prefix_cache(const PrefixCacheReport& report) override;
  void forgetting(const ForgettingReport& report) override;
  void checkpoint(const CheckpointReport& report) override;
  void resume(const ResumeReport& report) override;
  void end(const RunSummary& summary) override;

 private:
  void show_line();
  /// To be called before anything goes to standard output.
  void clear_line();

  ProgressStyle style_;  ///< never kAuto
  bool colour_, erases_;
  Stopwatch clock_, since_shown_;
  bool first_of_stage_ = true;
  /// Samples or tokens of the steps since a step was last shown, and the seconds that these took:
  /// batches differ in length, so that a single step's speed tells little.
  std::int64_t amount_ = 0;
  double amount_seconds_ = 0;
  ProgressFacts facts_;  ///< that the line says
  Pace stage_pace_, run_pace_;
};

/// Prints on standard output, in place of the line that moves where one is shown.
void print_in_place_of_line(const std::string& text);

}  // namespace thaw
