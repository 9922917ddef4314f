#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/schedule/schedule.h"
#include "dist/forecast/step_forecast.h"

namespace thaw {

/// What a stage costs.
struct StageForecast {
  std::string stage;
  StepForecast step;          ///< of a full batch
  std::int64_t steps = 0;     ///< at most, where something else may end it; 0: nobody knows
  bool may_be_fewer = false;  ///< something else than its length may end it
  double seconds = 0;         ///< of all its steps, short ones at ends of epochs included
};

/// What a run costs, without evaluations, checkpoints and transitions.
struct RunForecast {
  std::vector<StageForecast> stages;
  double seconds = 0;             ///< of all stages whose length is known
  std::int64_t memory_bytes = 0;  ///< of a rank, in the stage that takes most
};

/// Replays a run over `train_samples` samples: each stage of `schedule` from the cursor at which
/// the one before ends, as training counts it. `costs`: one for each stage, in order; what is kept
/// of the optimizer's state from stages before is added to them. Pure. Throws std::invalid_argument
/// for another number of costs than stages.
RunForecast forecast_run(const Schedule& schedule, const std::vector<StageCosts>& costs,
                         const ForecastJob& job, const Network& network,
                         std::int64_t train_samples);

/// `costs` with MemoryCosts::kept_state as it comes to be from stage to stage: the state of what
/// was active in an earlier one and is frozen now, and of what rests in this one.
std::vector<StageCosts> with_kept_state(std::vector<StageCosts> costs);

}  // namespace thaw
