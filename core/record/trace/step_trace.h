#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>

#include "core/base/progress/step_spans.h"

namespace thaw {

class Communicator;

/// Writes down what the ranks do in a training's first steps after a start (output.trace-steps):
/// all ranks make it together, on their training threads, and after the last of these steps rank 0
/// writes `trace-STEP.json`, STEP being the first one. What a GPU computes is queued in these
/// phases, and not seen.
class StepTrace {
 public:
  /// A collective where `steps` > 0, else nothing. `done`: committed steps. `may_write`: as for
  /// MetricsLog.
  StepTrace(Communicator& communicator, std::filesystem::path folder, std::int64_t steps,
            std::int64_t done, std::function<void()> may_write);

  /// For TrainerParts::after_step; empty where nothing is traced.
  std::function<void(std::int64_t)> after_step();

 private:
  void write();

  Communicator& communicator_;
  std::filesystem::path folder_;
  std::int64_t first_, last_;
  std::function<void()> may_write_;
  std::optional<SpanRecorder> recorder_;
};

}  // namespace thaw
