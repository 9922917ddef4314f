#pragma once

#include <cstddef>
#include <cstdint>

#include "launch/price/data_loads.h"
#include "launch/price/step_fit.h"

namespace thaw {

class Model;
class ParameterTable;
struct RunSetup;
struct Schedule;

/// What the most memory of a rank in a stage follows from.
struct PeakQuestion {
  double resident = 0;               ///< bytes, before the first step was run
  double held = 0;                   ///< of gradients and state: whatever the load
  const StepFit& fit;                ///< of the stage
  const StepFit* deepest = nullptr;  ///< of the deepest stage that was run, and
  const StepFit* smaller = nullptr;  ///< the same with smaller batches; null: there were none
  Loads load;                        ///< of the stage
  double copies = 0;                 ///< bytes that a run holds beside what was run
};

/// Bytes, at most: see Note [Memory at most]. Pure.
std::int64_t peak_memory(const PeakQuestion& question);

/// Of the optimizer's state on a rank, of all that was active until the end of stage `stage`.
double state_bytes(const RunSetup& setup, const ParameterTable& parameters,
                   const Schedule& schedule, std::size_t stage);

/// Of the gradients of a stage and of the optimizer's state.
double held_bytes(const RunSetup& setup, const ParameterTable& parameters, const Schedule& schedule,
                  std::size_t stage);

/// That a rank makes ready in the last steps of a stage for the one that follows it: the state of
/// what is active for the first time, and buckets. 0 in the last stage.
double prepared_bytes(const RunSetup& setup, const ParameterTable& parameters,
                      const Schedule& schedule, std::size_t stage, int ranks);

/// That a rank holds in a stage for checkpoints, for best weights that wait, and for what is
/// measured of a source task: a rehearsal makes none of them. `ranks`: over which a checkpoint is
/// shared out.
double copied_bytes(const RunSetup& setup, const ParameterTable& parameters,
                    const Schedule& schedule, std::size_t stage, int ranks);

}  // namespace thaw
