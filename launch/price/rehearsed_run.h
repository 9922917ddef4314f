#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "launch/price/distinct_stages.h"
#include "launch/price/prefix_price.h"
#include "launch/price/rehearsal.h"
#include "launch/price/saving_speed.h"
#include "launch/price/stage_spans.h"

namespace thaw {

class Communicator;
class ParameterTable;
struct RunSetup;
struct Schedule;

/// All that was found out about a run before it: what its stages are, and what came of running some
/// of them. Steps are rank 0's; all else is the same on all ranks.
struct RehearsedRun {
  StageKinds kinds;
  std::vector<StageSpan> spans;
  ForeseenReadings ahead;  ///< what the cache of frozen groups' outputs will do
  RehearsalSize size;
  std::vector<std::size_t> chosen;   ///< kinds that were run
  std::vector<std::size_t> reading;  ///< of these, those that were run again, reading a cache
  std::vector<RehearsedStage> stages, smaller,
      cached;                         ///< of `chosen`, likewise or none, `reading`
  double resident = 0;                ///< bytes of where the network lies, before the first step
  double validation_load = 0;         ///< of the whole split; 0: there is none
  double evaluated_load = 0;          ///< of what is left of it
  std::optional<SavingSpeed> saving;  ///< nothing: not known
  double seconds = 0;                 ///< that all of it took

  /// Null where nothing was foreseen of the stage.
  const StageReading* reading_of(std::size_t stage) const;
};

/// Looks ahead, plans and runs. A collective; afterwards the data are narrowed to a few batches.
RehearsedRun rehearse_run(const RunSetup& setup, const Schedule& schedule,
                          const ParameterTable& parameters, Communicator& ranks);

}  // namespace thaw
