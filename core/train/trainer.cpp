#include "core/train/trainer.h"

#include <ATen/core/Tensor.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>
#include <span>

#include "core/base/error.h"
#include "core/base/stopwatch.h"
#include "core/data/dataset.h"
#include "core/data/training_loader.h"
#include "core/models/dropout.h"
#include "core/models/model.h"
#include "core/models/module_model.h"
#include "core/parallel/communicator.h"
#include "core/parallel/replicas.h"
#include "core/train/audit.h"
#include "core/train/gradient_norm.h"
#include "core/train/reduction_rules.h"
#include "core/train/retention.h"
#include "core/train/stage_run.h"
#include "core/train/step_agreement.h"
#include "core/train/step_meter.h"

namespace thaw {
namespace {

constexpr const char* kValidation = "validation";

std::set<std::string> active_names(const StagePlan& plan) {
  std::set<std::string> names;
  for (const ParameterFacts& parameter : plan.parameters()) {
    names.insert(parameter.name);
  }
  return names;
}

/// What these stages have cost.
void add_training_cost(EvaluationReport& report, std::span<const StageSummary> stages) {
  for (const StageSummary& stage : stages) {
    report.trained_samples += stage.samples;
    report.training_seconds += stage.training_seconds;
    report.training_flops += stage.flops();
  }
}

/// What is judged is equal on all ranks, so all of them throw together.
[[noreturn]] void refuse_not_finite(double loss, double norm, std::int64_t step,
                                    const std::string& stage, std::int64_t skipped) {
  const std::string what = std::isfinite(loss) ? fmt::format("the gradients' norm is {}", norm)
                                               : fmt::format("the loss is {}", loss);
  RunError error(fmt::format(
      "step {} of stage \"{}\": {}{}; lower the learning rate, or set "
      "train.clip-norm",
      step, stage, what,
      skipped > 0 ? fmt::format(", after {} steps that were skipped for it", skipped - 1) : ""));
  error.mark_agreed();
  throw error;
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

}  // namespace

Trainer::Trainer(TrainerParts parts)
    : parts_(std::move(parts)),
      monitor_(parts_.monitor != nullptr ? *parts_.monitor : unread_),
      parameters_(parts_.model, parts_.train.decay_norms_and_biases),
      freezer_(parts_.model, parameters_,
               {.dropout = parts_.train.frozen_dropout == "on",
                .batch_norm_statistics = parts_.train.frozen_batch_norm == "update"}),
      batch_norms_(parts_.model),
      optimizer_(make_optimizer(parts_.train.optimizer)),
      train_samples_(parts_.dataset.split("train").size()),
      schedule_(parts_.schedule, train_samples_, parts_.data.batch),
      guard_(parts_.train.not_finite, parts_.train.skip_limit) {
  refuse_metrics_without_split(parts_.schedule, parts_.dataset.has_split(kValidation));
  check_reduction(parts_.train, parts_.model, parts_.schedule, parts_.communicator.size());
  assign_draw_sites(parts_.model);
  parts_.model.set_gradient_checkpointing(parts_.train.gradient_checkpointing);
  const bool synchronized = parts_.train.batch_norm == "synchronized";
  const std::string unshared = unshared_batch_norm(parts_.model);
  if (synchronized && parts_.communicator.size() > 1 && !unshared.empty()) {
    throw InputError(fmt::format(
        "module \"{}\" is a batch normalisation that knows one rank's samples only; build it as "
        "thaw::nn::BatchNorm2d, or set train.batch-norm to local",
        unshared));
  }
  if (synchronized && parts_.communicator.size() > 1 && !batch_norms_.empty()) {
    // One of its own: its collectives run inside forward and backward, beside gradients that may
    // be under way.
    batch_norm_communicator_ = parts_.communicator.split(/*color=*/0);
    batch_norms_.set_communicator(batch_norm_communicator_.get());
  }
  if (parts_.communicator.size() > 1) {
    audit_ = std::make_unique<Audit>(
        parts_.model, parameters_, *optimizer_, parts_.communicator,
        Audit::Settings{.batch_norms = synchronized ? &batch_norms_ : nullptr,
                        .frozen_statistics_stay = parts_.train.frozen_batch_norm == "keep"});
  }
}

Trainer::~Trainer() { batch_norms_.set_communicator(nullptr); }

/// Local BatchNorms have moved apart on the ranks; what is evaluated and saved is rank 0's.
void Trainer::settle_buffers() {
  if (batch_norm_communicator_ == nullptr && parts_.communicator.size() > 1) {
    broadcast_tensors(parts_.communicator, named_buffers(parts_.model));
  }
}

void Trainer::audit_now(const std::string& stage) {
  if (audit_ == nullptr || audited_step_ == step_) {
    return;
  }
  const Stopwatch watch;
  monitor_.phase(RankPhase::kAudit);
  audit_->check(step_ == 0 ? "loading" : fmt::format("step {} of stage \"{}\"", step_, stage));
  audited_step_ = step_;
  AuditReport report;
  report.step = step_;
  report.epoch = epoch();
  report.stage = stage;
  report.tensors = static_cast<std::int64_t>(audit_->tensors());
  report.bytes = audit_->bytes();
  report.seconds = watch.seconds();
  tell(&TrainingObserver::audit, report);
}

void Trainer::measure_retention(const std::string& stage) {
  if (parts_.retention == nullptr) {
    return;
  }
  monitor_.phase(RankPhase::kEvaluation);
  RetentionReport report = parts_.retention->before();
  if (step_ > 0) {
    settle_buffers();
    const Freezer::EvaluationMode evaluation_mode(freezer_);
    report = parts_.retention->measure(parts_.communicator);
  }
  report.step = step_;
  report.epoch = epoch();
  report.stage = stage;
  retention_ = {parts_.retention->before(), report};
  tell(&TrainingObserver::retention, report);
}

std::int64_t Trainer::shards() const {
  return parts_.train.reduction == "canonical" ? parts_.train.shards : 0;
}

double Trainer::epoch() const {
  return static_cast<double>(cursor_) / static_cast<double>(train_samples_);
}

RunSummary Trainer::run() {
  restore();
  while (schedule_.begin_stage(cursor_)) {
    if (!run_stage()) {
      return summary();
    }
    const bool transition = schedule_.whole_stage_ended();
    schedule_.end_stage();
    if (checkpoint_due(transition)) {
      save_checkpoint(nullptr, 0, transition);
    }
  }
  audit_now(stages_.empty() ? "" : stages_.back().name);
  measure_retention(stages_.empty() ? "" : stages_.back().name);
  monitor_.phase(RankPhase::kSaving);
  settle_buffers();
  finish_checkpoint();
  save_last_weights();
  const RunSummary done = summary();
  tell(&TrainingObserver::end, done);
  return done;
}

RunSummary Trainer::summary() const {
  RunSummary summary;
  summary.steps = step_;
  summary.epochs = epoch();
  summary.seconds = seconds_before_ + watch_.seconds();
  summary.train_loss = last_loss_;
  summary.ranks = parts_.communicator.size();
  summary.stages = stages_;
  summary.retention = retention_;
  summary.evaluated = last_evaluation_.has_value();
  if (summary.evaluated) {
    summary.last_evaluation = *last_evaluation_;
    summary.best_evaluation = *best_evaluation_;
  }
  summary.stopped = stop_ != StopReason::kNone;
  summary.stop_reason = text_of(stop_);
  summary.go_back = go_back_;
  return summary;
}

/// False where the run is to stop early.
bool Trainer::run_stage() {
  const Stopwatch watch;
  const Stage& stage = schedule_.stage();
  const Communicator& communicator = parts_.communicator;
  audit_now(stages_.empty() ? "" : stages_.back().name);
  if (resumed_ == nullptr) {
    measure_retention(stages_.empty() ? "" : stages_.back().name);
  }
  monitor_.stage(stage.name);
  StageRun run({.model = parts_.model,
                .batch_norms = batch_norms_,
                .parameters = parameters_,
                .freezer = freezer_,
                .optimizer = *optimizer_,
                .coordinator = parts_.coordinator,
                .train = parts_.train,
                .pass = {.micro_batch = parts_.train.micro_batch,
                         .label_smoothing = 0,
                         .seed = static_cast<std::uint64_t>(parts_.train.seed),
                         .rank = communicator.rank(),
                         .ranks = communicator.size(),
                         .shards = shards(),
                         .loss = &parts_.loss},
                .schedule = schedule_});
  StepMeter meter(schedule_.needs(), run.plan(), parameters_, schedule_.state().seconds,
                  parts_.communicator);
  if (audit_ != nullptr) {
    audit_->enter_stage(active_names(run.plan()), !run.frozen_layers().batch_norm_statistics);
  }
  TransitionReport report = run.transition_report();
  report.step = step_;
  report.epoch = epoch();
  report.index = schedule_.state().stage;
  report.stages = parts_.schedule.stages.size();
  report.curve_steps = schedule_.state().curve_length;
  const TrainingState* resumed = std::exchange(resumed_, nullptr);
  const double seconds_before = resumed != nullptr ? resumed->so_far.seconds : 0;
  if (resumed != nullptr) {
    run.restore(*resumed);
  } else {
    tell(&TrainingObserver::transition, report);
  }

  TrainingLoader loader(parts_.dataset,
                        {.batch = parts_.data.batch,
                         .seed = static_cast<std::uint64_t>(parts_.data.seed),
                         .read_ahead = parts_.data.read_ahead,
                         .crop_padding = parts_.data.crop_padding,
                         .horizontal_flip = parts_.data.horizontal_flip,
                         .rank = communicator.rank(),
                         .ranks = communicator.size(),
                         .shards = shards()},
                        cursor_);
  std::optional<Stage> next = schedule_.next_stage();
  if (resumed != nullptr && resumed->evaluation_pending) {
    evaluate_now(run);
  }
  while (!schedule_.ended()) {
    if (next && schedule_.ends_soon()) {
      prepare_stage(*next, parameters_, *optimizer_, parts_.coordinator);
      next.reset();
    }
    train_step(run, meter, loader);
    if (go_back_) {
      return false;
    }
    if (stop_ != StopReason::kNone) {
      stop_here(run, seconds_before + watch.seconds());
      return false;
    }
    if (parts_.audit_every > 0 && step_ % parts_.audit_every == 0) {
      audit_now(stage.name);
    }
    if (evaluation_due()) {
      evaluate_now(run);
    }
    if (!schedule_.ended() && checkpoint_due(/*transition=*/false)) {
      save_checkpoint(&run, seconds_before + watch.seconds(), /*transition=*/false);
    }
  }
  if (stage_best_.put_back(parameters_, parts_.model)) {
    audited_step_ = -1;  // an audit of this step saw other weights
  }
  StageSummary summary = run.summary();
  summary.seconds = seconds_before + watch.seconds();
  stages_.push_back(summary);
  return true;
}

void Trainer::train_step(StageRun& stage, StepMeter& meter, TrainingLoader& loader) {
  Stopwatch watch;
  monitor_.step(step_ + 1);
  const TrainingBatch batch = loader.next();
  const double data_seconds = watch.seconds();

  const SampleShare share{batch.batch.size(), batch.global.size()};
  monitor_.phase(RankPhase::kCompute);
  std::optional<BufferCopies> buffers;
  if (guard_.watches_each_step()) {
    buffers.emplace(parts_.model);
  }
  stage.reducer().begin(share);
  const at::Tensor loss_sum = stage.compute(batch.batch, share);
  monitor_.phase(RankPhase::kReduction);
  stage.reducer().finish();
  monitor_.phase(RankPhase::kUpdate);

  double norm = 0;
  double gradient_factor = 1;
  if (stage.clip_norm() > 0 || guard_.watches_each_step()) {
    norm = global_gradient_norm(stage.active_tensors(), parts_.communicator);
  }
  if (stage.clip_norm() > 0) {
    gradient_factor = clip_factor(norm, stage.clip_norm());
  }
  const std::vector<double> rates = schedule_.rates();
  // Before the update, so that a step that went wrong leaves the weights as they were.
  const bool reported = (step_ + 1) % parts_.log_every == 0;
  const bool wants_loss = reported || meter.wants_loss() || guard_.watches_each_step();
  const StepVerdict verdict = agree(loss_sum, wants_loss);
  const double loss = wants_loss ? verdict.loss_sum / static_cast<double>(share.total) : last_loss_;
  const StepVerdictKind kind = guard_.judge(loss, norm);
  if (kind == StepVerdictKind::kStop) {
    refuse_not_finite(loss, norm, step_ + 1, stage.stage().name, guard_.skipped());
  }
  if (kind == StepVerdictKind::kGoBack) {
    go_back_ = true;
    return;
  }
  const bool commits = kind == StepVerdictKind::kCommit;
  if (commits) {
    last_loss_ = loss;
  } else {
    buffers->restore();
  }
  const StepValues values = meter.measure(share.total, last_loss_);
  if (commits) {
    optimizer_->step(stage.class_rates(), gradient_factor);
  }

  cursor_ += share.total;
  ++step_;
  const double seconds = watch.seconds();
  stage.commit(seconds);
  schedule_.commit_step(values);
  if (!commits) {
    report_skipped(stage, loss, norm);
  } else if (reported) {
    report_step(stage, {.samples = share.total,
                        .rates = rates,
                        .gradient_norm = norm,
                        .data_seconds = data_seconds,
                        .seconds = seconds});
  }
}

void Trainer::report_step(StageRun& stage, const StepFigures& figures) {
  const ReductionCounters counters = stage.reducer().counters();
  StepReport report;
  report.step = step_;
  report.epoch = epoch();
  report.stage = stage.stage().name;
  report.stage_step = stage.progress().steps;
  report.stage_steps = stage.steps();
  report.loss = last_loss_;
  for (std::size_t i = 0; i < figures.rates.size(); ++i) {
    report.learning_rates.emplace_back(stage.stage().groups[i], figures.rates[i]);
    report.learning_rate = std::max(report.learning_rate, figures.rates[i]);
  }
  report.gradient_norm = figures.gradient_norm;
  report.samples = figures.samples;
  report.bytes_reduced = counters.payload_bytes;
  report.seconds = figures.seconds;
  report.data_seconds = figures.data_seconds;
  report.communication_seconds = counters.exposed_seconds;
  report.compute_seconds = figures.seconds - figures.data_seconds - counters.exposed_seconds;
  tell(&TrainingObserver::step, report);
}

bool Trainer::evaluation_due() const {
  const std::int64_t every = parts_.train.evaluate_every;
  const bool epoch_ended = cursor_ % train_samples_ == 0;
  return schedule_.whole_stage_ended() ||
         (every > 0 ? schedule_.state().progress.steps % every == 0 : epoch_ended);
}

void Trainer::evaluate_now(const StageRun& stage) {
  evaluated_step_ = step_;
  if (!parts_.dataset.has_split(kValidation)) {
    schedule_.commit_evaluation({});
    return;
  }
  const Stopwatch watch;
  const StageSummary running = stage.summary();
  monitor_.phase(RankPhase::kEvaluation);
  settle_buffers();
  const Freezer::EvaluationMode evaluation_mode(freezer_);
  const std::int64_t batch =
      parts_.data.evaluation_batch > 0 ? parts_.data.evaluation_batch : parts_.data.batch;
  const ClassCounts counts = evaluate(parts_.model, parts_.dataset, kValidation,
                                      {.batch = batch,
                                       .read_ahead = parts_.data.read_ahead,
                                       .shards = shards(),
                                       .loss = &parts_.loss},
                                      parts_.communicator);
  EvaluationReport report;
  report.step = step_;
  report.epoch = epoch();
  report.stage = stage.stage().name;
  report.split = kValidation;
  report.loss = counts.mean_loss();
  report.accuracy = counts.accuracy();
  report.macro_f1 = counts.macro_f1();
  report.samples = counts.samples();
  report.seconds = watch.seconds();
  add_training_cost(report, stages_);
  add_training_cost(report, {&running, 1});
  monitor_.phase(RankPhase::kSaving);
  report.best = !best_evaluation_ || report.loss < best_evaluation_->loss;
  last_evaluation_ = report;
  if (report.best) {
    best_evaluation_ = report;
    if (parts_.save_best && parts_.communicator.rank() == 0) {
      parts_.save_best();
    }
  }
  const bool best_of_stage =
      schedule_.commit_evaluation({{"validation/loss", report.loss},
                                   {"validation/accuracy", report.accuracy},
                                   {"validation/macro-f1", report.macro_f1}});
  if (best_of_stage) {
    stage_best_.keep(stage.plan(), parameters_, parts_.model);
  }
  tell(&TrainingObserver::evaluation, report);
}

}  // namespace thaw
