#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>

#include "core/record/observer.h"
#include "core/record/tensorboard/event_file.h"

namespace thaw {

/// Writes the numbers of a run's log as TensorBoard's scalars (output.tensorboard), into a file of
/// its own each time the run begins or goes on. Their tags are the keys of metrics.jsonl under
/// what they belong to: train/loss, learning_rate/GROUP, seconds/data, validation/accuracy,
/// moved/GROUP. What is not known is left out.
///
/// As its file is for whoever watches (see EventFile), one that cannot be made does not end the
/// training either: that is said once, and nothing is written.
class TensorBoardLog final : public TrainingObserver {
 public:
  /// `log_every`: steps between those that are told. `may_write`: as for MetricsLog.
  TensorBoardLog(std::filesystem::path folder, std::int64_t log_every,
                 std::function<void()> may_write = {});

  bool step_reads_weights() const override { return false; }
  void step(const StepReport& report) override;
  void evaluation(const EvaluationReport& report) override;
  void forgetting(const ForgettingReport& report) override;
  void resume(const ResumeReport& report) override;

 private:
  void add(std::int64_t step, const std::vector<TaggedScalar>& scalars);
  /// Null where it cannot be made.
  EventFile* file();

  std::filesystem::path folder_;
  std::int64_t log_every_;
  std::function<void()> may_write_;
  std::optional<EventFile> file_;
  bool off_ = false;  ///< it could not be made
};

}  // namespace thaw
