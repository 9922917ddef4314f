#include "core/step/sharing/frozen_weights.h"

#include <utility>

#include "core/step/sharing/host_weights.h"
#include "core/step/sharing/shared_weights.h"

namespace thaw {

FrozenWeights::FrozenWeights(std::unique_ptr<HostWeights> in_host_memory,
                             std::unique_ptr<SharedWeights> shared, std::int64_t piece)
    : in_host_memory_(std::move(in_host_memory)), shared_(std::move(shared)), piece_(piece) {}
FrozenWeights::~FrozenWeights() = default;

bool FrozenWeights::prepare(const std::set<std::string>& active) {
  if (in_host_memory_) return in_host_memory_->prepare(active);  // then nothing thaws on the host
  if (shared_) shared_->prepare(active);
  return true;
}

void FrozenWeights::wait_prepared() const {
  if (shared_) shared_->wait_prepared();
}

at::Tensor FrozenWeights::as_thawed(const at::Tensor& parameter) const {
  return in_host_memory_ ? in_host_memory_->as_thawed(parameter) : parameter;
}

void FrozenWeights::thaw(const std::set<std::string>& active) {
  if (in_host_memory_) in_host_memory_->thaw(active);
  if (shared_) shared_->thaw(active);  // where a GPU computes, forgets what has gone there
}

void FrozenWeights::freeze(const std::set<std::string>& active) {
  bool more = true;
  while (more) {  // on all ranks alike: their layers are the same
    more = in_host_memory_ && in_host_memory_->freeze(active, piece_);
    if (shared_) shared_->freeze(active);
  }
  if (in_host_memory_) in_host_memory_->settle();
}

void FrozenWeights::leave_there() {
  if (in_host_memory_) in_host_memory_->leave_there();
}

std::int64_t FrozenWeights::shared_bytes() const { return shared_ ? shared_->bytes() : 0; }

}  // namespace thaw
