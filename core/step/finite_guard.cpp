#include "core/step/finite_guard.h"

#include <c10/core/GradMode.h>
#include <torch/nn/module.h>

#include <cmath>

namespace thaw {

StepVerdictKind FiniteGuard::judge(double loss, double gradient_norm) {
  if (std::isfinite(loss) && std::isfinite(gradient_norm)) {
    skipped_ = 0;
    return StepVerdictKind::kCommit;
  }
  if (reaction_ == NotFinite::kStop) return StepVerdictKind::kStop;
  if (++skipped_ <= limit_) return StepVerdictKind::kSkip;
  return reaction_ == NotFinite::kGoBack ? StepVerdictKind::kGoBack : StepVerdictKind::kStop;
}

BufferCopies::BufferCopies(const torch::nn::Module& module) : buffers_(module.buffers()) {
  const c10::AutoGradMode no_grad(false);
  for (const at::Tensor& buffer : buffers_) copies_.push_back(buffer.clone());
}

void BufferCopies::restore() const {
  const c10::AutoGradMode no_grad(false);
  for (std::size_t i = 0; i < buffers_.size(); ++i) buffers_[i].copy_(copies_[i]);
}

}  // namespace thaw
