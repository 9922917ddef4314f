#pragma once

#include <cstdint>

#include "core/parallel/step_monitor.h"

namespace thaw {

/// Tells a StepMonitor where a loop of somebody's own is, each place once a step on every rank,
/// whatever made the step begin there (see StepMonitor: ranks are compared by the number of calls).
class StepPlaces {
 public:
  /// `monitor`: null where nobody asks.
  explicit StepPlaces(StepMonitor* monitor) : monitor_(monitor) {}

  void activation(const std::string& name) {
    if (monitor_ != nullptr) monitor_->stage(name);
  }
  void activated() { tell(RankPhase::kData); }

  /// May be called again within a step.
  void step_begun() {
    if (monitor_ == nullptr || within_step_) return;
    within_step_ = true;
    monitor_->step(++step_);
    monitor_->phase(RankPhase::kCompute);
  }
  void reduction_begun() { tell(RankPhase::kReduction); }
  void step_finished() {
    within_step_ = false;
    tell(RankPhase::kUpdate);
  }

 private:
  void tell(RankPhase phase) {
    if (monitor_ != nullptr) monitor_->phase(phase);
  }

  StepMonitor* monitor_;
  std::int64_t step_ = 0;
  bool within_step_ = false;
};

}  // namespace thaw
