#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "core/models/weights/model_description.h"
#include "core/parallel/gradient_reducer.h"
#include "core/record/observer.h"
#include "core/schedule/schedule_state.h"

namespace thaw {

/// What a stage that is under way has come to: all that goes on with it besides its schedule's and
/// its reducer's state.
struct StageState {
  bool under_way = false;            ///< false: it ended, and only its name counts
  std::string name;                  ///< "" before the first
  StageSummary so_far;               ///< its seconds until now
  std::vector<double> step_seconds;  ///< of its newest steps
  std::int64_t flop_samples = 0;     ///< of rank 0, that `so_far.flops_per_sample` is a mean over
};

/// Where training stands between two steps: with the weights and the optimizer's state, all that it
/// takes to go on as if nothing had been. A plain value: the trainer keeps it, a checkpoint holds
/// it, and a run begins from it.
struct TrainingState {
  std::int64_t step = 0;    ///< committed steps
  std::int64_t cursor = 0;  ///< global samples consumed by them
  double train_loss = 0;    ///< of the last step reported
  double seconds = 0;       ///< of the run, until this was taken
  ScheduleState schedule;
  StageState stage;                  ///< that is under way, else the last one
  ReductionOrder reduction;          ///< of that stage
  bool evaluation_pending = false;   ///< the step's evaluation was due and is still to be made
  std::vector<StageSummary> stages;  ///< that ended
  std::optional<EvaluationReport> last_evaluation, best_evaluation;
  RunFacts facts;
  std::vector<std::string> classes;                 ///< that the head tells apart
  ModelDescription model;                           ///< that is trained
  std::map<std::string, std::string> weight_names;  ///< to export under: see WeightNames
  /// Fingerprints of groups that were thawed: see StartWeights. None where nobody looked.
  std::optional<std::map<std::string, std::string>> start_weights;
};

/// The state as JSON.
std::string to_json(const TrainingState& state);
/// Reads it back; throws InputError, beginning with `path`, for whatever is no such state.
TrainingState training_state_from_json(const std::string& text, const std::string& path);

}  // namespace thaw
