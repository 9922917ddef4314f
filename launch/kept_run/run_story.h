#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/record/observer.h"
#include "core/record/run_folder.h"

namespace thaw {

/// A stage, or a segment of one with a policy, as a run went through it. Sums and means are over
/// the steps that have a line (`output.log-every`).
struct StoryStage {
  std::string name;
  std::size_t index = 0;                               ///< of the stage in the run's schedule
  std::vector<std::pair<std::string, double>> groups;  ///< active, with their first learning rates
  std::int64_t active_parameters = 0;                  ///< 0: not told
  std::string backward_cut;                            ///< "": not told
  std::int64_t first_step = 0;                         ///< committed steps of the run until then
  double first_epoch = 0;
  std::int64_t last_step = 0;  ///< the newest committed one that is told of
  double last_epoch = 0;
  double transition_seconds = 0;

  std::int64_t told_steps = 0;  ///< with a line each
  std::int64_t samples = 0;     ///< of those
  double seconds = 0;           ///< of those, split into:
  double data_seconds = 0, compute_seconds = 0, communication_seconds = 0;
  double median_step_seconds = 0;
  std::int64_t bytes_reduced = 0;  ///< of the last of them, payload
  double loss_sum = 0;             ///< of those with a loss that is a number:
  std::int64_t losses = 0;

  std::int64_t steps() const { return last_step - first_step; }
  double samples_per_second() const {
    return seconds > 0 ? static_cast<double>(samples) / seconds : 0;
  }
};

/// What a run did, as its metrics.jsonl tells: of one that is over, that was cut off, or that is
/// still going. Plain values; nothing of it grows with the number of steps but the evaluations,
/// resumes and checkpoints.
struct RunStory {
  std::vector<StoryStage> stages;
  std::vector<EvaluationReport> evaluations;  ///< of the validation split, in order
  std::vector<ResumeReport> resumes;
  std::vector<CheckpointReport> checkpoints;  ///< also those that could not be made
  std::int64_t steps = 0;                     ///< committed, as far as is told
  double epoch = 0;
  /// Of the newest step with a line; NaN where there is none.
  double train_loss = std::numeric_limits<double>::quiet_NaN();
  std::int64_t skipped = 0;  ///< steps whose values were not finite
  /// Seconds of its training, with evaluations and saving: what the end tells, else the sum of
  /// steps, transitions and evaluations that are told of.
  double seconds = 0;
  bool ended = false;  ///< its schedule went to the end

  /// The evaluation whose weights were kept as the best; null where there was none.
  const EvaluationReport* best() const;
};

/// Calls `hear` with each event of a run's metrics.jsonl in order, as the run wrote it (see
/// MetricsLog for the keys of each kind). A last line that is not whole yet is passed over. Throws
/// InputError, naming file and line, where one is no event.
void each_event(const RunFolder& folder,
                const std::function<void(const nlohmann::ordered_json&)>& hear);

/// Reads all of it. A run that has not come to its first event has a story without stages. Throws
/// as `each_event`.
RunStory read_story(const RunFolder& folder);

}  // namespace thaw
