// The part of the trainer that tells what happened, and what is due.
#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <exception>
#include <utility>
#include <vector>

#include "core/base/progress/notice.h"
#include "core/data/dataset.h"
#include "core/models/model.h"
#include "core/parallel/communicator.h"
#include "core/parallel/gradient_reducer.h"
#include "core/schedule/run_length.h"
#include "core/schedule/stage_plan.h"
#include "core/schedule/step_values.h"
#include "core/step/gradient_pass.h"
#include "core/train/reduction_rules.h"
#include "core/train/stage_run.h"
#include "core/train/trainer_run.h"

namespace thaw {

double Trainer::Run::epoch() const {
  return static_cast<double>(state_.cursor) / static_cast<double>(train_samples_);
}

RunSummary Trainer::Run::summary() const {
  RunSummary summary;
  summary.steps = state_.step;
  summary.epochs = epoch();
  summary.seconds = state_.seconds + watch_.seconds();
  summary.train_loss = state_.train_loss;
  summary.ranks = parts_.communicator.size();
  summary.stages = state_.stages;
  summary.forgetting = measurements_.forgetting();
  summary.evaluated = measurements_.last_evaluation().has_value();
  if (summary.evaluated) {
    summary.last_evaluation = *measurements_.last_evaluation();
    summary.best_evaluation = *measurements_.best_evaluation();
  }
  summary.stopped = stop_ != StopReason::kNone;
  summary.stop_reason = text_of(stop_);
  summary.go_back = go_back_;
  return summary;
}

void Trainer::Run::report_transition(const StageRun& run) {
  TransitionReport report = run.transition_report();
  report.step = state_.step;
  report.epoch = epoch();
  report.index = schedule_.state().stage;
  report.stages = parts_.schedule.stages.size();
  report.curve_steps = schedule_.state().curve_length;
  tell(&TrainingObserver::transition, report);
}

StepReport Trainer::Run::step_report(StageRun& stage, const StepFigures& figures) const {
  const ReductionCounters counters = stage.reducer().counters();
  auto report = report_at<StepReport>(place(stage.stage().name));
  report.stage_step = stage.progress().steps;
  report.stage_steps = stage.steps();
  if (const auto left = run_length_left(parts_.schedule, schedule_.state(), state_.cursor,
                                        train_samples_, parts_.data.batch)) {
    report.run_steps = state_.step + left->steps_left;
    report.may_be_fewer = left->may_be_fewer;
    if (!efforts_.empty()) {
      report.steps_worth_left =
          steps_worth(*left, efforts_, step_effort(stage.plan(), forward_seconds_));
    }
  }
  report.loss = state_.train_loss;
  for (std::size_t i = 0; i < figures.rates.size(); ++i) {
    report.learning_rates.emplace_back(stage.stage().groups[i], figures.rates[i]);
    report.learning_rate = std::max(report.learning_rate, figures.rates[i]);
  }
  report.gradient_norm = figures.gradient_norm;
  report.samples = figures.samples;
  report.counted_tokens = figures.counted_tokens;
  report.bytes_reduced = counters.payload_bytes;
  report.seconds = figures.seconds;
  report.data_seconds = seconds_in(figures.spans, StepSpan::kData);
  report.communication_seconds = counters.exposed_seconds;
  if (!device_spans_) {
    report.compute_parts = {.forward = seconds_in(figures.spans, StepSpan::kForward),
                            .backward = seconds_in(figures.spans, StepSpan::kBackward),
                            .optimizer = seconds_in(figures.spans, StepSpan::kUpdate)};
  }
  return report;
}

void Trainer::Run::learn_efforts(const StageRun& stage) {
  if (!efforts_.empty()) return;
  const std::vector<double>& seconds = stage.forward_seconds();
  // What came out of a cache took no time, and would again have to be computed later.
  const auto ran = [](double each) { return each > 0; };
  if (seconds.empty() || !std::ranges::all_of(seconds, ran)) return;
  forward_seconds_ = seconds;
  for (const Stage& each : parts_.schedule.stages) {
    const StagePlan plan =
        make_stage_plan(parameters_.groups(), parameters_.facts(), each, parts_.train);
    efforts_.push_back(step_effort(plan, forward_seconds_));
  }
}

/// In place of the host's times, those of a GPU's work. False where it has not done the step.
bool Trainer::Run::take_device_times(StepReport& report) {
  const auto found = device_spans_ ? device_spans_->figures(report.step) : std::nullopt;
  if (!found) return false;
  report.seconds = found->seconds;
  report.data_seconds = found->data;
  report.communication_seconds = found->communication;
  if (found->queued) {
    report.compute_parts = {
        .forward = found->forward, .backward = found->backward, .optimizer = found->optimizer};
  }
  return true;
}

void Trainer::Run::report_step(const GuardedStep::Settled& step, StageRun* stage) {
  state_.train_loss = step.loss;
  gradient_norm_ = step.gradient_norm;
  StepReport report = *std::exchange(untold_, std::nullopt);
  report.loss = step.loss;
  report.gradient_norm = step.gradient_norm;
  if (take_device_times(report) && stage != nullptr) stage->took_on_device(report.seconds);
  report.compute_seconds =
      std::max(0.0, report.seconds - report.data_seconds - report.communication_seconds);
  if (stage != nullptr && observers_read_weights_) stage->wait_for_updates();
  tell(&TrainingObserver::step, report);
}

bool Trainer::Run::ask_observers() const {
  const bool here = parts_.communicator.rank() == 0 &&
                    std::ranges::any_of(parts_.observers, &TrainingObserver::step_reads_weights);
  std::vector<double> saying_so = {here ? 1.0 : 0.0};
  parts_.communicator.all_reduce(saying_so);
  return saying_so[0] > 0;
}

bool Trainer::Run::audit_due() const {
  return parts_.audit_every > 0 && state_.step % parts_.audit_every == 0;
}

bool Trainer::Run::weights_are_wanted() const {
  return stop_ != StopReason::kNone || schedule_.ended() || audit_due() || evaluation_due() ||
         checkpoint_due(/*transition=*/false);
}

/// Gradients of which each rank has a slice are gone when an evaluation is made, so their norms are
/// taken in each step that one may follow; whole ones are still in `.grad` then.
bool Trainer::Run::evaluation_may_follow(std::int64_t samples) const {
  if (!state_is_sharded(parts_) || !parts_.dataset.has_split("validation")) return false;
  const TriggerNeeds& needs = schedule_.needs();
  if (needs.loss || needs.seconds || !needs.gradients.empty()) return true;  // may end the stage
  const std::int64_t most = schedule_.stage_steps();
  if (most > 0 && schedule_.progress().steps + 1 >= most) return true;
  const std::int64_t every = parts_.train.evaluate_every;
  return every > 0 ? (schedule_.state().progress.steps + 1) % every == 0
                   : (state_.cursor + samples) % train_samples_ == 0;
}

bool Trainer::Run::something_is_due() const {
  return weights_are_wanted() || observers_read_weights_;
}

void Trainer::Run::settle(StageRun& run) {
  if (const auto step = guarded_step_.settle()) report_step(*step, &run);
  if (weights_are_wanted()) guarded_step_.read_verdict();
}

RunSummary Trainer::run() {
  try {
    return run_->to_end();
  } catch (...) {
    run_->tell_what_is_there();
    throw;
  }
}

void Trainer::Run::tell_what_is_there() noexcept {
  // The error may be the GPU's, which then answers no copies; who catches it may let the trainer go
  // at any later time.
  frozen_weights_.leave_there();
  try {
    if (const auto step = guarded_step_.arrived(); step && untold_) report_step(*step, nullptr);
  } catch (const std::exception& error) {
    // The error that has ended the run is the one to be told; this one may follow from it.
    say(fmt::format("the last step could not be told of: {}\n", error.what()));
  }
  // Updates of other ranks' slices may be on their way into the model still: see
  // Note [The best weights wait].
  if (state_is_sharded(parts_)) return;
  try {
    best_weights_.write_waiting();
  } catch (const std::exception& error) {
    say(fmt::format("the best weights could not be kept: {}\n", error.what()));
  }
}

void Trainer::Run::report_skipped(const StageRun& stage, const GuardedStep::Outcome& outcome) {
  auto report = report_at<SkippedReport>(place(stage.stage().name));
  report.loss = outcome.loss;
  report.gradient_norm = outcome.gradient_norm;
  report.in_a_row = guarded_step_.skipped();
  tell(&TrainingObserver::skipped, report);
}

}  // namespace thaw
