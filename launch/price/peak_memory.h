#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "launch/price/data_loads.h"
#include "launch/price/step_fit.h"

namespace thaw {

class Model;
class ParameterTable;
struct RunSetup;
struct Schedule;
struct Stage;

/// What the most memory of a rank in a stage follows from.
struct PeakQuestion {
  double resident = 0;  ///< bytes, before the first step was run
  double held = 0;      ///< in the run, in place of what the fit's held
  double looking = 0;   ///< in all, while it looks whether a cache pays; 0: it does not
  const StepFit& fit;   ///< of the stage
  double slope = 0;     ///< see measured_slope
  Loads load;           ///< of the stage
  double copies = 0;    ///< bytes that a run holds beside what was run
  bool ragged = false;  ///< samples differ in size
};

/// Bytes that a unit of load takes, by two sizes of the deepest stage that was run, the last of
/// `fits`; 0: that is not known. `smaller`: what was run, again with smaller batches, or none.
/// Pure.
double measured_slope(const std::vector<PlacedFit>& fits,
                      const std::vector<RehearsedStage>& smaller);

/// Bytes, at most: see Note [Memory at most]. Pure.
std::int64_t peak_memory(const PeakQuestion& question);

/// Of the optimizer's state on a rank, of all that was active until the end of stage `stage`.
double state_bytes(const RunSetup& setup, const ParameterTable& parameters,
                   const Schedule& schedule, std::size_t stage);

/// What a rank has in its last stage whatever the batch, in bytes of where the network lies.
struct HeldBytes {
  double gradients = 0;
  double state = 0;  ///< of the optimizer, but what was reset, and what waits elsewhere
  double start = 0;  ///< copies of weights as training began, of all that was thawed

  double all() const { return gradients + state + start; }
};

/// Of rank 0 at the end of these stages, one after another. Of one with a policy: the fullest
/// choice, and state of all groups that may have been chosen.
HeldBytes held_after(const RunSetup& setup, const ParameterTable& parameters,
                     std::span<const Stage> stages, int ranks);

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
