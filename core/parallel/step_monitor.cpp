#include "core/parallel/step_monitor.h"

namespace thaw {

// Readers may see one field of before and one of after a call: they compare places that have not
// changed for seconds, so single atomics will do.

void StepMonitor::stage(const std::string& name) {
  {
    const std::lock_guard lock(mutex_);
    stage_ = name;
  }
  phase(RankPhase::kTransition);
}

void StepMonitor::step(std::int64_t number) {
  step_.store(number, std::memory_order_relaxed);
  bucket_.store(-1, std::memory_order_relaxed);
  phase(RankPhase::kData);
}

void StepMonitor::phase(RankPhase phase) {
  phase_.store(phase, std::memory_order_relaxed);
  order_.fetch_add(1, std::memory_order_relaxed);
  tick();
}

void StepMonitor::bucket(std::int64_t number) {
  bucket_.store(number, std::memory_order_relaxed);
  tick();
}

StepMonitor::Collective::Collective(StepMonitor& monitor, CollectiveKind kind, std::uint64_t bytes)
    : monitor_(monitor), waits_(std::this_thread::get_id() == monitor.owner_) {
  if (waits_) {
    monitor_.call_bytes_.store(bytes, std::memory_order_relaxed);
    monitor_.call_.store(kind, std::memory_order_relaxed);
  }
  monitor_.tick();
}

StepMonitor::Collective::~Collective() {
  if (waits_) {
    monitor_.call_.store(CollectiveKind::kNone, std::memory_order_relaxed);
  }
  monitor_.tick();
}

RankPlace StepMonitor::place() const {
  RankPlace place;
  place.order = order_.load(std::memory_order_relaxed);
  place.phase = phase_.load(std::memory_order_relaxed);
  place.step = step_.load(std::memory_order_relaxed);
  place.bucket = bucket_.load(std::memory_order_relaxed);
  place.call = call_.load(std::memory_order_relaxed);
  if (place.call != CollectiveKind::kNone) {
    place.call_bytes = call_bytes_.load(std::memory_order_relaxed);
  }
  place.waits = place.call != CollectiveKind::kNone || place.phase == RankPhase::kReduction;
  const std::lock_guard lock(mutex_);
  place.stage = stage_;
  return place;
}

}  // namespace thaw
