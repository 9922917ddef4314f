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
#include "core/base/progress/notice.h"
#include "core/base/progress/step_spans.h"
#include "core/config/configuration.h"
#include "core/data/loading/training_loader.h"
#include "core/models/model.h"
#include "core/parallel/communicator.h"
#include "core/parallel/step_monitor.h"
#include "core/step/device/device_verdict.h"
#include "core/step/gradient_norm.h"
#include "core/step/gradient_pass.h"
#include "core/step/optimizer.h"
#include "core/step/step_meter.h"
#include "core/tasks/task.h"
#include "core/train/capture_rules.h"
#include "core/train/stage_run.h"
#include "core/train/trainer.h"

namespace thaw {
namespace {

// Note [When the loss is read]
// Reading a loss waits for the device, and a device that is waited for each step has nothing to do
// meanwhile. But the verdict stands before the update: a step whose loss is no number must leave
// the weights as they were, for whoever goes on from them. So on a GPU the verdict is made there
// (DeviceVerdict): the numbers of a step are sent to the host, and read when the step after it has
// been queued, or before anything that wants to know them: an evaluation, a checkpoint, the end of
// a stage. Where it turns out then that a step was not finite, nothing has changed since.
// A step that must be decided on by the host (a trigger asks for its loss, or it is to be skipped,
// or the update rule cannot be held off on the GPU) waits for its numbers: on a GPU in one copy,
// in which the norm comes too. On the host there is nothing to be gained, and numbers are read at
// once.
// Each step is judged, whoever reads it: an update by what is not finite would be in the weights,
// and in a checkpoint, before anybody looks. On a GPU `output.log-every` above 1 spares the host
// reading the steps between; a loss that is not finite is found at the next that is read, and
// before the weights are taken for a result (`read_verdict`): else a run whose last steps nobody
// reads would evaluate, save and end well with weights that have stood still.

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

/// One before `step` was not finite, and it is not known which.
[[noreturn]] void refuse_since(std::int64_t step, const std::string& stage) {
  RunError error(fmt::format(
      "stage \"{}\": the loss or the gradients' norm was not finite in a step before {}, and "
      "nothing was updated since; output.log-every = 1 names it; lower the learning rate, or set "
      "train.clip-norm",
      stage, step));
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
    : context_(context), guard_(context.parts.train.not_finite, context.parts.train.skip_limit) {
  if (may_judge_on_device(context_.parts, context_.optimizer)) gpu_ = gpu_of(context_.parts.model);
}

GuardedStep::~GuardedStep() = default;

GuardedStep::Outcome GuardedStep::run(StageRun& stage, StepMeter& meter, const TrainingBatch& batch,
                                      const Request& request) {
  context_.monitor.phase(RankPhase::kCompute);
  std::optional<Settled> before;
  if (!judges_on_device(meter)) before = settle();
  std::optional<BufferCopies> buffers;
  if (guard_.watches_each_step()) buffers.emplace(context_.parts.model);
  const Share share{.weight = weight_of(batch, context_.parts),
                    .samples = {batch.batch.size(), batch.global.size()}};
  if (judges_on_device(meter)) {
    return judge_on_device(stage, meter, batch.batch, share, request);
  }
  Outcome outcome = judge_on_host(stage, meter, batch.batch, share, request);
  if (outcome.verdict == StepVerdictKind::kSkip) buffers->restore();
  outcome.settled = before;
  return outcome;
}

/// Leaves the mean over the global batch in every `.grad`. Returns this rank's sum of the loss.
at::Tensor GuardedStep::gradients(StageRun& stage, const Batch& batch, const Share& share,
                                  bool agrees) {
  stage.reducer().begin(share.samples);
  const at::Tensor loss_sum = stage.compute(batch, share.samples, share.weight);
  context_.monitor.phase(RankPhase::kReduction);
  {
    const SpanTimer reduction(StepSpan::kReduction);
    if (agrees) {
      context_.agree({.reducer = &stage.reducer()});
    } else {
      stage.reducer().finish();
    }
  }
  context_.monitor.phase(RankPhase::kUpdate);
  return loss_sum;
}

StepValues GuardedStep::measure(StepMeter& meter, const Share& share, double loss) const {
  StepValues values = meter.measure(share.samples.total, loss);
  if (!context_.parts.task->weighs_samples()) {
    values.counted_tokens = static_cast<std::int64_t>(share.weight);
  }
  return values;
}

GuardedStep::Outcome GuardedStep::judge_on_host(StageRun& stage, StepMeter& meter,
                                                const Batch& batch, const Share& share,
                                                const Request& request) {
  const at::Tensor loss_sum = gradients(stage, batch, share);
  Outcome outcome;
  const bool wants_norm = stage.clip_norm() > 0 || guard_.watches_each_step();
  at::Tensor norm;
  if (wants_norm) norm = stage.gradient_norm(context_.parts.communicator);
  const bool on_device = norm.defined() && norm.is_cuda() && context_.optimizer.guards_on_device();
  const StepVerdict agreed =
      context_.agree({.loss_sum = &loss_sum, .gradient_norm = wants_norm ? &norm : nullptr});
  outcome.gradient_norm = agreed.gradient_norm;
  // Of a batch in which nothing counts the sum is 0, and so is every gradient.
  outcome.loss = agreed.loss_sum / std::max(share.weight, 1.0);
  outcome.verdict = guard_.judge(outcome.loss, outcome.gradient_norm);
  if (outcome.verdict == StepVerdictKind::kStop) {
    refuse_not_finite(outcome.loss, outcome.gradient_norm, request.number, stage.stage().name,
                      guard_.skipped());
  }
  if (outcome.verdict == StepVerdictKind::kGoBack) {
    return outcome;
  }
  const bool commits = outcome.verdict == StepVerdictKind::kCommit;
  outcome.values = measure(meter, share, commits ? outcome.loss : request.last_loss);
  if (commits && request.wants_group_norms) {
    outcome.group_gradient_norms = stage.group_gradient_norms();
  }
  const SpanTimer update(StepSpan::kUpdate);
  if (commits && on_device) {
    context_.optimizer.step(stage.class_rates(), device_scale(norm, stage.clip_norm()));
  } else if (commits) {
    const double factor =
        stage.clip_norm() > 0 ? clip_factor(outcome.gradient_norm, stage.clip_norm()) : 1;
    context_.optimizer.step(stage.class_rates(), factor);
  }
  if (commits) stage.share_updates();
  return outcome;
}

bool GuardedStep::judges_on_device(const StepMeter& meter) const {
  return gpu_.has_value() && !meter.wants_loss();
}

GuardedStep::Outcome GuardedStep::judge_on_device(StageRun& stage, StepMeter& meter,
                                                  const Batch& batch, const Share& share,
                                                  const Request& request) {
  if (verdict_ == nullptr) verdict_ = std::make_unique<DeviceVerdict>(*gpu_);
  const std::optional<StepChoice> possible = possible_choice(stage, batch, share);
  StepWay way = possible ? possible->way : StepWay::kQueue;
  const bool agrees_first = possible.has_value() && context_.parts.communicator.size() > 1;
  if (agrees_first) way = context_.agree({.choice = possible}).way;  // Note [Ways of a step]
  if (possible.has_value()) run_as_graph(stage, way, batch, share);
  const bool is_graph = way != StepWay::kQueue;
  at::Tensor norm;
  if (!is_graph) {
    const at::Tensor loss_sum = gradients(stage, batch, share, /*agrees=*/!agrees_first);
    norm = verdict(stage, loss_sum);
  }
  if (is_graph && !agrees_first) context_.agree({});
  Outcome outcome;
  outcome.is_late = request.wants_loss;
  outcome.values = measure(meter, share, request.last_loss);
  if (request.wants_group_norms) outcome.group_gradient_norms = stage.group_gradient_norms();
  if (!is_graph) update(stage, norm);
  std::unique_ptr<ArrivingNumbers> sent;
  if (outcome.is_late) {
    sent = verdict_->send();
    unread_.reset();
  } else {
    unread_ = Unread{request.number, stage.stage().name};
  }
  outcome.settled = settle();  // now that the device has this step to do
  outcome.loss = outcome.settled ? outcome.settled->loss : request.last_loss;
  if (sent) {
    pending_ = Pending{std::move(sent), request.number, stage.stage().name, share.weight};
  }
  return outcome;
}

/// A collective: has the device judge the step. Returns the gradients' norm, undefined where nobody
/// asks for it.
at::Tensor GuardedStep::verdict(StageRun& stage, const at::Tensor& loss_sum) {
  at::Tensor norm;
  if (stage.clip_norm() > 0) norm = stage.gradient_norm(context_.parts.communicator);
  verdict_->judge(loss_sum, norm, context_.parts.communicator);
  return norm;
}

void GuardedStep::update(StageRun& stage, const at::Tensor& norm) {
  const SpanTimer update(StepSpan::kUpdate);
  context_.optimizer.step(stage.class_rates(),
                          device_scale(norm, stage.clip_norm(), verdict_->not_finite()));
  stage.share_updates();
}

void GuardedStep::enter_stage(StageRun& stage, const StepMeter& meter, bool reads_files) {
  const TrainerParts& parts = context_.parts;
  if (parts.train.cuda_graphs == CudaGraphs::kOff) return;
  CaptureFacts facts = capture_facts(parts, context_.optimizer);
  if (!facts.on_gpu) return;
  facts.reads_files = reads_files;
  facts.own_draws = stage.draws_fast();
  facts.host_decides = meter.wants_loss() || meter.wants_gradients();
  facts.reduction_repeats = stage.reducer().repeats_itself();
  std::string obstacle = obstacle_to_capture(facts);
  // Ranks with graphs make other collectives than ranks without: Note [Ways of a step].
  std::vector<double> without = {obstacle.empty() ? 0.0 : 1.0};
  parts.communicator.all_reduce(without);
  if (obstacle.empty() && without[0] > 0) obstacle = "another rank's cannot be";
  if (obstacle.empty()) {
    stage.capture_steps(*gpu_);
  } else {
    tell_no_graphs(obstacle);
  }
}

void GuardedStep::tell_no_graphs(const std::string& why) {
  if (context_.parts.communicator.rank() != 0 || !told_.insert(why).second) return;
  say(fmt::format("steps are not captured in CUDA graphs: {}\n", why));
}

/// Nothing where no step of the stage is a graph, on any rank.
std::optional<StepChoice> GuardedStep::possible_choice(StageRun& stage, const Batch& batch,
                                                       const Share& share) const {
  StepGraphs* const graphs = stage.graphs();
  if (graphs == nullptr) return std::nullopt;
  return graphs->possible_choice(batch, share.weight, /*may_record=*/!stage.counts_operations());
}

/// Makes the step where `way` is that of a graph; else only notes that it is not.
void GuardedStep::run_as_graph(StageRun& stage, StepWay way, const Batch& batch,
                               const Share& share) {
  StepGraphs& graphs = *stage.graphs();
  if (way == StepWay::kQueue) {
    if (!stage.counts_operations()) graphs.was_queued();
    if (graphs.gave_up())
      tell_no_graphs("batches of the same sizes hardly ever come again in an epoch");
    return;
  }
  GradientReducer& reducer = stage.reducer();
  context_.optimizer.set_rates(stage.class_rates());
  graphs.run(way, batch, [&](const Batch& placed) {
    reducer.follow_stream();
    const at::Tensor loss_sum = gradients(stage, placed, share);
    update(stage, verdict(stage, loss_sum));
  });
  if (way == StepWay::kRecord) reducer.follow_stream();
  reducer.queued_again();
  context_.optimizer.count_writes();
}

std::optional<GuardedStep::Settled> GuardedStep::settle() {
  if (!pending_) return std::nullopt;
  const Pending late = std::move(*std::exchange(pending_, std::nullopt));
  const ArrivingNumbers::Values values = late.numbers->wait();
  const Settled step{values.loss_sum / std::max(late.weight, 1.0), values.gradient_norm};
  if (guard_.judge(step.loss, step.gradient_norm) == StepVerdictKind::kStop) {
    refuse_not_finite(step.loss, step.gradient_norm, late.number, late.stage, guard_.skipped());
  }
  if (!values.finite) refuse_since(late.number, late.stage);
  return step;
}

void GuardedStep::read_verdict() {
  if (!unread_) return;
  const Unread last = std::move(*std::exchange(unread_, std::nullopt));
  if (!verdict_->send()->wait().finite) refuse_since(last.number + 1, last.stage);
}

std::optional<GuardedStep::Settled> GuardedStep::arrived() {
  if (!pending_ || !pending_->numbers->are_there()) return std::nullopt;
  const ArrivingNumbers::Values values = pending_->numbers->wait();
  const Settled step{values.loss_sum / std::max(pending_->weight, 1.0), values.gradient_norm};
  pending_.reset();
  const bool finite =
      values.finite && std::isfinite(step.loss) && std::isfinite(step.gradient_norm);
  return finite ? std::optional(step) : std::nullopt;
}

}  // namespace thaw
