#pragma once

#include <cstdint>
#include <vector>

#include "core/record/run_folder.h"
#include "core/schedule/replay.h"

namespace thaw {

/// What a run did, as its `metrics.jsonl` tells.
struct RunHistory {
  std::vector<HappenedStage> stages;
  std::int64_t steps = 0;  ///< committed
};

/// Reads it. Steps that were lost before a resume and made again count once.
/// Throws InputError where there is no such file or it is not one of a run.
RunHistory read_history(const RunFolder& folder);

}  // namespace thaw
