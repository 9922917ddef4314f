#pragma once

#include <functional>
#include <string>

#include "core/record/line_file.h"
#include "core/record/observer.h"
#include "core/record/run_folder.h"

namespace thaw {

/// Writes `metrics.jsonl`, an object a line, and `summary.json` at the end.
class MetricsLog final : public TrainingObserver {
 public:
  /// Opens the log of a run folder that exists. `log_every`: steps between `step` lines.
  /// `goes_on`: what stands in it stays. `may_write` is called before anything is written, and
  /// throws where that must not be any longer.
  MetricsLog(const RunFolder& folder, std::int64_t log_every, bool goes_on = false,
             std::function<void()> may_write = {});

  bool step_reads_weights() const override { return false; }
  void transition(const TransitionReport& report) override;
  void step(const StepReport& report) override;
  void evaluation(const EvaluationReport& report) override;
  void samples(const SamplesReport& report) override;
  void audit(const AuditReport& report) override;
  void prefix_cache(const PrefixCacheReport& report) override;
  void forgetting(const ForgettingReport& report) override;
  void skipped(const SkippedReport& report) override;
  void checkpoint(const CheckpointReport& report) override;
  void resume(const ResumeReport& report) override;
  void end(const RunSummary& summary) override;

 private:
  void write_line(const std::string& json);

  RunFolder folder_;
  std::int64_t log_every_;
  std::function<void()> may_write_;
  LineFile log_;
};

}  // namespace thaw
