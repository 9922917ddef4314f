#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "core/config/choices.h"

namespace torch::nn {
class Module;
}

namespace thaw {

/// What becomes of a step.
enum class StepVerdictKind { kCommit, kSkip, kGoBack, kStop };

/// Judges steps whose loss or gradients are not finite, by `train.not-finite`; skips `limit` in
/// a row at most. Given values that are equal on all ranks, so is the verdict.
class FiniteGuard {
 public:
  FiniteGuard(NotFinite reaction, std::int64_t limit) : reaction_(reaction), limit_(limit) {}

  /// Whether loss and gradient norm are asked for in each step.
  bool watches_each_step() const { return reaction_ != NotFinite::kStop; }
  StepVerdictKind judge(double loss, double gradient_norm);
  /// Steps skipped in a row up to now.
  std::int64_t skipped() const { return skipped_; }

 private:
  NotFinite reaction_;
  std::int64_t limit_;
  std::int64_t skipped_ = 0;
};

/// The buffers of a module as they are now (BatchNorm's running statistics, which a forward over
/// what is not finite spoils), to be brought back where the step is skipped.
class BufferCopies {
 public:
  explicit BufferCopies(const torch::nn::Module& module);
  void restore() const;

 private:
  std::vector<at::Tensor> buffers_, copies_;
};

}  // namespace thaw
