#pragma once

#include <cstdint>
#include <functional>

#include "core/schedule/step_values.h"
#include "core/step/finite_guard.h"
#include "core/step/step_agreement.h"

namespace thaw {

class Optimizer;
class StageRun;
class StepMeter;
class StepMonitor;
struct TrainerParts;
struct TrainingBatch;

/// Makes one optimizer step after another, each with its verdict: gradients of a global batch,
/// numbers that all ranks agree on, and the update where these are finite.
///
/// All ranks call it alike and come to the same verdicts. It moves weights, buffers and optimizer
/// state, and nothing else of the run; belongs to the training thread.
class GuardedStep {
 public:
  /// Everything is borrowed.
  struct Context {
    const TrainerParts& parts;
    Optimizer& optimizer;
    StepMonitor& monitor;
    /// Agrees with the other ranks on what holds after this step. Null: nobody asks for it.
    std::function<StepVerdict(const at::Tensor* loss_sum, const at::Tensor* gradient_norm)> agree;
  };
  struct Request {
    std::int64_t number = 1;  ///< of the step in the run, from 1
    bool wants_loss = false;  ///< whoever else asks for it
    double last_loss = 0;     ///< what stands for the loss where nobody asks
  };
  struct Outcome {
    StepVerdictKind verdict = StepVerdictKind::kCommit;  ///< never kStop, which throws
    double loss = 0;                                     ///< mean over the global batch
    double gradient_norm = 0;                            ///< 0 where nothing asks for it
    StepValues values;                                   ///< for the stage's triggers
  };

  explicit GuardedStep(const Context& context);

  /// A collective. Of a step that goes back, nothing but verdict, loss and norm is to be used.
  /// Throws `RunError` on all ranks where the loss or the gradients are not finite and training
  /// must not go on.
  Outcome run(StageRun& stage, StepMeter& meter, const TrainingBatch& batch,
              const Request& request);

  /// Steps skipped in a row up to now.
  std::int64_t skipped() const { return guard_.skipped(); }

 private:
  Context context_;
  FiniteGuard guard_;
};

}  // namespace thaw
