#include "core/train/guarded_step.h"

#include <ATen/core/Tensor.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/base/error.h"
#include "core/base/progress/step_spans.h"
#include "core/data/loading/training_loader.h"
#include "core/models/model.h"
#include "core/parallel/communicator.h"
#include "core/parallel/sharded_state.h"
#include "core/parallel/step_monitor.h"
#include "core/step/gradient_norm.h"
#include "core/step/optimizer.h"
#include "core/step/step_meter.h"
#include "core/tasks/task.h"
#include "core/train/stage_run.h"
#include "core/train/trainer.h"

namespace thaw {
namespace {

// Note [When the loss is read]
// Reading a loss waits for the device, so it would be cheaper to read it when the next step has
// been queued. But the verdict stands before the update: a step whose loss is no number must leave
// the weights as they were, for whoever goes on from them. So a step whose loss is asked for (by
// the log, by a trigger, or since steps are to be skipped) waits for it. `output.log-every` above 1
// spares the wait in the steps between, at the price that a loss that is not finite is found that
// much later. On a GPU the norm comes in the same copy as the loss; in the steps between it is not
// read at all: clipping and the guard against what is not finite are the optimizer's kernel's then,
// which changes nothing in such a step.

/// What is judged is equal on all ranks, so all of them throw together.
[[noreturn]] void refuse_not_finite(double loss, double norm, std::int64_t step,
                                    const std::string& stage, std::int64_t skipped) {
  const std::string what = std::isfinite(loss) ? fmt::format("the gradients' norm is {}", norm)
                                               : fmt::format("the loss is {}", loss);
  // Before the first update no learning rate has had a part in it.
  const char* remedy = step == 1
                           ? "nothing was updated before, so the weights or the data make it: "
                             "values too large for train.precision?"
                           : "lower the learning rate, or set train.clip-norm";
  RunError error(fmt::format(
      "step {} of stage \"{}\": {}{}; {}", step, stage, what,
      skipped > 0 ? fmt::format(", after {} steps that were skipped for it", skipped - 1) : "",
      remedy));
  error.mark_agreed();
  throw error;
}

/// What the mean of the loss over the global batch divides by. A collective where only the ranks
/// together know it.
double weight_of(const TrainingBatch& batch, const TrainerParts& parts) {
  if (parts.task->weighs_samples()) return static_cast<double>(batch.global.size());
  std::vector<double> weight = {parts.task->weight(batch.batch)};
  parts.communicator.all_reduce(weight);
  return weight[0];
}

}  // namespace

GuardedStep::GuardedStep(const Context& context)
    : context_(context), guard_(context.parts.train.not_finite, context.parts.train.skip_limit) {}

GuardedStep::Outcome GuardedStep::run(StageRun& stage, StepMeter& meter, const TrainingBatch& batch,
                                      const Request& request) {
  const TrainerParts& parts = context_.parts;
  const SampleShare share{batch.batch.size(), batch.global.size()};
  context_.monitor.phase(RankPhase::kCompute);
  std::optional<BufferCopies> buffers;
  if (guard_.watches_each_step()) {
    buffers.emplace(parts.model);
  }
  const double weight = weight_of(batch, parts);
  stage.reducer().begin(share);
  const at::Tensor loss_sum = stage.compute(batch.batch, share, weight);
  context_.monitor.phase(RankPhase::kReduction);
  {
    const SpanTimer reduction(StepSpan::kReduction);
    stage.reducer().finish();
  }
  context_.monitor.phase(RankPhase::kUpdate);

  Outcome outcome;
  const bool wants_loss = request.wants_loss || meter.wants_loss() || guard_.watches_each_step();
  const bool wants_norm = stage.clip_norm() > 0 || guard_.watches_each_step();
  at::Tensor norm;
  if (wants_norm) norm = stage.gradient_norm(parts.communicator);
  // Before the update: see Note [When the loss is read].
  const bool on_device = norm.defined() && norm.is_cuda() && context_.optimizer.guards_on_device();
  const bool reads_norm = wants_norm && (wants_loss || !on_device);
  const StepVerdict agreed =
      context_.agree(wants_loss ? &loss_sum : nullptr, reads_norm ? &norm : nullptr);
  outcome.gradient_norm = agreed.gradient_norm;
  // Of a batch in which nothing counts the sum is 0, and so is every gradient.
  outcome.loss = wants_loss ? agreed.loss_sum / std::max(weight, 1.0) : request.last_loss;
  outcome.verdict = guard_.judge(outcome.loss, outcome.gradient_norm);
  if (outcome.verdict == StepVerdictKind::kStop) {
    refuse_not_finite(outcome.loss, outcome.gradient_norm, request.number, stage.stage().name,
                      guard_.skipped());
  }
  if (outcome.verdict == StepVerdictKind::kGoBack) {
    return outcome;
  }
  const bool commits = outcome.verdict == StepVerdictKind::kCommit;
  if (!commits) {
    buffers->restore();
  }
  outcome.values = meter.measure(share.total, commits ? outcome.loss : request.last_loss);
  if (!parts.task->weighs_samples()) {
    outcome.values.counted_tokens = static_cast<std::int64_t>(weight);
  }
  const SpanTimer update(StepSpan::kUpdate);
  if (commits && on_device) {
    context_.optimizer.step(stage.class_rates(), device_scale(norm, stage.clip_norm()));
  } else if (commits) {
    const double factor =
        stage.clip_norm() > 0 ? clip_factor(outcome.gradient_norm, stage.clip_norm()) : 1;
    context_.optimizer.step(stage.class_rates(), factor);
  }
  if (commits && stage.sharded() != nullptr) stage.sharded()->share_updates();
  return outcome;
}

}  // namespace thaw
