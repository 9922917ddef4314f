#include "core/train/trainer.h"

#include <ATen/core/Tensor.h>
#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <set>
#include <utility>

#include "core/base/error.h"
#include "core/checkpoint/saver.h"
#include "core/data/dataset.h"
#include "core/data/loading/training_loader.h"
#include "core/models/layers/dropout.h"
#include "core/models/model.h"
#include "core/models/module_model.h"
#include "core/parallel/communicator.h"
#include "core/schedule/end_condition.h"
#include "core/schedule/stage_options.h"
#include "core/step/optimizers/registry.h"
#include "core/step/sharing/frozen_weights.h"
#include "core/step/sharing/host_weights.h"
#include "core/step/sharing/shared_weights.h"
#include "core/step/step_meter.h"
#include "core/tasks/registry.h"
#include "core/tasks/task.h"
#include "core/train/capture_rules.h"
#include "core/train/reduction_rules.h"
#include "core/train/stage_run.h"
#include "core/train/trainer_run.h"

namespace thaw {
namespace {

std::set<std::string> active_names(const StagePlan& plan) {
  std::set<std::string> names;
  for (const ParameterFacts& parameter : plan.parameters()) {
    names.insert(parameter.name);
  }
  return names;
}

void refuse_metrics_without_split(const Schedule& schedule, bool has_validation) {
  for (const Stage& stage : schedule.stages) {
    if (!has_validation && needs_of(stage.until).validation) {
      throw InputError(fmt::format(
          "stage \"{}\" ends by a metric of the validation split, and the data has none",
          stage.name));
    }
  }
}

bool synchronizes_batch_norm(const TrainerParts& parts) {
  return parts.train.batch_norm == BatchNormStatistics::kSynchronized &&
         parts.communicator.size() > 1;
}

/// The same parts, which fit each other.
TrainerParts checked(TrainerParts parts) {
  if (!parts.task) parts.task = make_task(parts.dataset);
  if (parts.loss) parts.task = with_loss(parts.task, std::move(parts.loss));
  check_smoothing(*parts.task, parts.train, parts.schedule);
  check_micro_batches(parts.train, parts.dataset.format().kind == DataKind::kText);
  for (const Stage& stage : parts.schedule.stages) resolve(parts.train, stage);
  refuse_metrics_without_split(parts.schedule, parts.dataset.has_split("validation"));
  const std::string unshared = unshared_batch_norm(parts.model);
  if (synchronizes_batch_norm(parts) && !unshared.empty()) {
    throw InputError(fmt::format(
        "module \"{}\" is a batch normalisation that knows one rank's samples only; build it as "
        "thaw::nn::BatchNorm2d, or set train.batch-norm to local",
        unshared));
  }
  return parts;
}

/// A communicator of their own, null where they are local: their collectives run inside forward and
/// backward, beside gradients that may be under way.
std::unique_ptr<Communicator> connect_batch_norms(BatchNorms& batch_norms,
                                                  const TrainerParts& parts) {
  if (!synchronizes_batch_norm(parts) || batch_norms.empty()) {
    return nullptr;
  }
  std::unique_ptr<Communicator> own = parts.communicator.split(/*color=*/0);
  batch_norms.set_communicator(own.get());
  return own;
}

/// A collective.
FrozenWeights make_frozen_weights(const ParameterTable& parameters, const TrainerParts& parts) {
  std::unique_ptr<HostWeights> in_host_memory = host_weights_of(parts.model, parameters);
  std::unique_ptr<SharedWeights> shared;
  if (parts.share_frozen != ShareFrozen::kOff && parts.communicator.size() > 1 &&
      (in_host_memory || !gpu_of(parts.model))) {
    shared = std::make_unique<SharedWeights>(parameters, parts.communicator);
  }
  return {std::move(in_host_memory), std::move(shared)};
}

std::unique_ptr<Optimizer> make_own_optimizer(const TrainerParts& parts) {
  return parts.optimizer ? parts.optimizer(parts.train) : make_optimizer(parts.train);
}

/// Of the samples after `cursor` consumed ones.
/// `graphs`: steps may be some (Note [Captured steps]).
TrainingLoader make_loader(const TrainerParts& parts, std::int64_t cursor, bool graphs) {
  return TrainingLoader(
      parts.dataset,
      {.batch = parts.data.batch,
       .seed = static_cast<std::uint64_t>(parts.data.seed),
       .read_ahead = parts.data.read_ahead,
       .crop_padding = parts.data.crop_padding,
       .horizontal_flip = parts.data.horizontal_flip,
       .rank = parts.communicator.rank(),
       .ranks = parts.communicator.size(),
       .shards = canonical_shards(parts.train),
       .gpu = gpu_of(parts.model),
       .uploads = parts.train.micro_batch == 0 && parts.train.micro_batch_tokens == 0,
       .fills_up = graphs && parts.model.reads_lengths_there()},
      cursor);
}

TrainingBatch next_of(TrainingLoader& loader) {
  const SpanTimer data(StepSpan::kData);
  return loader.next();
}

}  // namespace

Trainer::Trainer(TrainerParts parts) : run_(std::make_unique<Run>(std::move(parts))) {}
Trainer::~Trainer() = default;

Trainer::Run::Run(TrainerParts parts)
    : parts_(checked(std::move(parts))),
      monitor_(parts_.monitor != nullptr ? *parts_.monitor : unread_),
      parameters_(parts_.model, parts_.train.decay_norms_and_biases),
      freezer_(parts_.model, parameters_, frozen_layers_of(parts_.train)),
      batch_norms_(parts_.model),
      batch_norm_communicator_(connect_batch_norms(batch_norms_, parts_)),
      frozen_weights_(make_frozen_weights(parameters_, parts_)),
      optimizer_(make_own_optimizer(parts_)),
      frozen_state_(parts_.frozen_state, parts_.frozen_state_folder),
      best_weights_(parts_.model, parameters_,
                    {.save = parts_.save_best, .may_wait = parts_.best_may_wait}),
      measurements_({.parts = parts_,
                     .parameters = parameters_,
                     .optimizer = *optimizer_,
                     .batch_norms = batch_norms_,
                     .batch_norms_shared = batch_norm_communicator_ != nullptr,
                     .freezer = freezer_,
                     .best_weights = best_weights_,
                     .monitor = monitor_}),
      guarded_step_({.parts = parts_,
                     .optimizer = *optimizer_,
                     .monitor = monitor_,
                     .agree = [this](const GuardedStep::Asked& asked) { return agree(asked); }}),
      train_samples_(parts_.dataset.split("train").size()),
      prefix_use_(parts_, parameters_, monitor_),
      schedule_(parts_.schedule, train_samples_, parts_.data.batch) {
  check_reduction(parts_.train, parts_.model, parts_.schedule, parts_.communicator.size());
  check_capture(parts_, *optimizer_);
  if (state_is_sharded(parts_)) check_sharding(*optimizer_, parameters_);
  assign_draw_sites(parts_.model);
  parts_.model.set_gradient_checkpointing(parts_.train.gradient_checkpointing);
}

Trainer::Run::~Run() { batch_norms_.set_communicator(nullptr); }

RunSummary Trainer::Run::to_end() {
  if (const auto gpu = gpu_of(parts_.model)) device_spans_.emplace(work_marks(gpu));
  observers_read_weights_ = ask_observers();
  restore();
  while (schedule_.begin_stage(state_.cursor)) {
    if (!run_stage()) return summary();
    const bool transition = schedule_.whole_stage_ended();
    schedule_.end_stage();
    if (checkpoint_due(transition)) {
      save_checkpoint(nullptr, transition);
    }
  }
  measurements_.audit(boundary());
  measurements_.measure_forgetting(boundary());
  monitor_.phase(RankPhase::kSaving);
  measurements_.settle_buffers();
  finish_checkpoint();
  save_last_weights();
  RunSummary done = summary();
  tell(&TrainingObserver::end, done);
  return done;
}

std::optional<Measurement> Trainer::measure_cached_training() {
  return run_->measure_cached_training();
}

std::optional<Measurement> Trainer::Run::measure_cached_training() {
  // Of the last stage, since whose end nothing has changed.
  const PrefixSource* const source = prefix_use_.training();
  if (source == nullptr) return std::nullopt;
  return measurements_.measure("train", source);
}

StageRun Trainer::Run::enter_stage() {
  monitor_.stage(schedule_.stage().name);
  // No checkpoint is made between segments of a policy's, nor after a step that was skipped: copies
  // may be there still that had room beside the steps of before.
  if (parts_.checkpoints.saver != nullptr) parts_.checkpoints.saver->wait_for_copies();
  return StageRun(
      {.model = parts_.model,
       .batch_norms = batch_norms_,
       .parameters = parameters_,
       .freezer = freezer_,
       .optimizer = *optimizer_,
       .coordinator = parts_.coordinator,
       .train = parts_.train,
       .pass = {.task = parts_.task.get(),
                .micro_batch = {parts_.train.micro_batch, parts_.train.micro_batch_tokens},
                .label_smoothing = 0,
                .seed = static_cast<std::uint64_t>(parts_.train.seed),
                .rank = parts_.communicator.rank(),
                .ranks = parts_.communicator.size(),
                .shards = canonical_shards(parts_.train)},
       .schedule = schedule_,
       .communicator = parts_.communicator,
       .frozen_state = frozen_state_,
       .frozen_weights = frozen_weights_});
}

/// False where the run is to stop early.
bool Trainer::Run::run_stage() {
  stage_watch_ = {};
  measurements_.audit(boundary());
  const StageState before = std::exchange(state_.stage, {});
  if (!before.under_way) {
    measurements_.measure_forgetting(boundary());
  }
  measurements_.leave_stage();
  StageRun run = enter_stage();
  StepMeter meter(schedule_.needs(), run.plan(), parameters_, schedule_.state().seconds,
                  parts_.communicator, run.sharded());
  best_weights_.enter_stage(active_names(run.plan()));
  measurements_.enter_stage(active_names(run.plan()), !run.frozen_layers().batch_norm_statistics);
  stage_seconds_before_ = before.so_far.seconds;
  if (before.under_way) {
    run.restore(before, std::exchange(state_.reduction, {}));
  } else {
    report_transition(run);
  }
  prefix_use_.enter_stage(schedule_, state_.cursor, place(run.stage().name));
  run.read_prefix(prefix_use_.training());
  guarded_step_.enter_stage(run, meter, prefix_use_.training() != nullptr);
  measurements_.read_prefix(prefix_use_.validation());
  TrainingLoader loader = make_loader(parts_, state_.cursor, run.graphs() != nullptr);
  std::optional<Stage> next = schedule_.next_stage();
  if (std::exchange(state_.evaluation_pending, false)) {
    evaluate_now(run);
  }
  while (!schedule_.ended()) {
    if (next && schedule_.ends_soon()) {
      prepare_stage(*next, parts_.train, parameters_, *optimizer_, parts_.coordinator,
                    state_is_sharded(parts_), frozen_weights_);
      next.reset();
    }
    train_step(run, meter, loader);
    if (!after_step(run)) {
      best_weights_.write_waiting();
      return false;
    }
  }
  best_weights_.write_waiting();
  if (stage_best_.put_back(parameters_, parts_.model)) {
    measurements_.weights_changed();
  }
  wait_prepared(*optimizer_, parts_.coordinator, frozen_weights_);
  StageSummary summary = run.summary();
  summary.seconds = stage_seconds();
  state_.stages.push_back(summary);
  return true;
}

/// False where the run is to stop early.
bool Trainer::Run::after_step(StageRun& run) {
  if (go_back_) {
    return false;
  }
  const bool due = something_is_due();
  if (due || parts_.after_step) run.wait_for_updates();  // see Note [Updates on their way]
  if (due) settle(run);
  if (parts_.after_step) parts_.after_step(state_.step);
  if (stop_ != StopReason::kNone) {
    stop_here(run);
    return false;
  }
  if (audit_due()) {
    measurements_.audit(place(run.stage().name));
  }
  if (evaluation_due()) {
    evaluate_now(run);
  }
  if (!schedule_.ended() && checkpoint_due(/*transition=*/false)) {
    save_checkpoint(&run, /*transition=*/false);
  }
  if (due) frozen_state_.let_go_of_pages();
  return true;
}

void Trainer::Run::train_step(StageRun& stage, StepMeter& meter, TrainingLoader& loader) {
  const Stopwatch watch;
  monitor_.step(state_.step + 1);
  take_span_seconds();  // of what came before the step
  const bool reported = (state_.step + 1) % parts_.log_every == 0;
  if (device_spans_ && reported) device_spans_->begin_step(state_.step + 1);
  const TrainingBatch batch = next_of(loader);

  const std::vector<double> rates = reported ? schedule_.rates() : std::vector<double>();
  const GuardedStep::Outcome outcome =
      guarded_step_.run(stage, meter, batch,
                        {.number = state_.step + 1,
                         .wants_loss = reported,
                         .last_loss = state_.train_loss,
                         .wants_group_norms = evaluation_may_follow(batch.global.size())});
  if (device_spans_ && reported) device_spans_->end_step();
  if (outcome.settled) report_step(*outcome.settled, &stage);
  if (outcome.verdict == StepVerdictKind::kGoBack) {
    go_back_ = true;
    return;
  }
  gradient_norm_ = outcome.gradient_norm;
  group_gradient_norms_ = outcome.group_gradient_norms;
  const bool commits = outcome.verdict == StepVerdictKind::kCommit;
  if (commits) {
    state_.train_loss = outcome.loss;
  }
  state_.cursor += outcome.values.samples;
  ++state_.step;
  const double seconds = watch.seconds();
  stage.commit(seconds);
  schedule_.commit_step(outcome.values);
  if (!commits) {
    report_skipped(stage, outcome);
  } else if (reported) {
    learn_efforts(stage);
    untold_ = step_report(stage, {.samples = outcome.values.samples,
                                  .counted_tokens = outcome.values.counted_tokens,
                                  .rates = rates,
                                  .gradient_norm = outcome.gradient_norm,
                                  .seconds = seconds,
                                  .spans = take_span_seconds()});
    if (!outcome.is_late) report_step({state_.train_loss, outcome.gradient_norm}, &stage);
  }
}

bool Trainer::Run::evaluation_due() const {
  const std::int64_t every = parts_.train.evaluate_every;
  const bool epoch_ended = state_.cursor % train_samples_ == 0;
  return schedule_.whole_stage_ended() ||
         (every > 0 ? schedule_.state().progress.steps % every == 0 : epoch_ended);
}

void Trainer::Run::evaluate_now(const StageRun& run) {
  std::vector<StageSummary> stages = state_.stages;
  stages.push_back(run.summary());
  const MetricValues metrics =
      measurements_.evaluate(place(run.stage().name), stages,
                             {.gradient_norm = gradient_norm_,
                              .group_gradient_norms = group_gradient_norms_,
                              .group_time_shares = run.group_time_shares()});
  const bool best_of_stage = schedule_.commit_evaluation(metrics);
  if (best_of_stage) {
    stage_best_.keep(run.plan(), parameters_, parts_.model);
  }
}

}  // namespace thaw
