#pragma once

#include <string>

#include "core/record/observer.h"

namespace thaw {

/// "NAME=now": tells the life of a job that is started next when the one before ended.
std::string restart_clock_setting();

/// Prints how long a job that was started again has taken from the end of the life before until its
/// first step.
class RestartClock final : public TrainingObserver {
 public:
  RestartClock();
  bool step_reads_weights() const override { return false; }
  void step(const StepReport& report) override;

 private:
  double ended_at_;  ///< seconds since the epoch; 0: no life before, or told already
};

}  // namespace thaw
