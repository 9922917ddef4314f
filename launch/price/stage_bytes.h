#pragma once

#include <cstdint>
#include <functional>

namespace thaw {

class ParameterTable;
class StagePlan;
struct RehearsedStage;

/// Bytes of gradients that a rank reduces in a step.
struct StageBytes {
  std::int64_t bytes = 0;
  bool exact = true;  ///< else: what a step that was run came to
};

/// Where a gradient travels by rows, bytes follow the batch.
struct TouchingBatch {
  /// Rows that a step of the rehearsal touched, which began at this cursor.
  std::function<std::int64_t(std::int64_t cursor)> rehearsed;
  /// That the last step of the stage will touch.
  std::function<std::int64_t()> last;
};

/// Of the last step of a stage, which is what summary.json tells: as a step that was run came to
/// where all did, else by the rows that the last batch touches, where that explains the steps that
/// were run. Where all of these were skipped, as of a stage that was not run.
StageBytes bytes_of_stage(const RehearsedStage& rehearsed, const StagePlan& plan,
                          const ParameterTable& parameters, std::int64_t ranks,
                          const TouchingBatch& touching);

/// Of a stage that was not run, all rows counted; none where a rank is alone.
StageBytes bytes_of_plan(const StagePlan& plan, const ParameterTable& parameters,
                         std::int64_t ranks);

}  // namespace thaw
