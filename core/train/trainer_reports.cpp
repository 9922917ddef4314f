// The part of the trainer that tells what happened.
#include <algorithm>
#include <cstddef>

#include "core/models/model.h"
#include "core/parallel/communicator.h"
#include "core/parallel/gradient_reducer.h"
#include "core/schedule/run_length.h"
#include "core/step/gradient_pass.h"
#include "core/train/stage_run.h"
#include "core/train/trainer_run.h"

namespace thaw {

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

void Trainer::Run::report_step(StageRun& stage, const StepFigures& figures) {
  const ReductionCounters counters = stage.reducer().counters();
  auto report = report_at<StepReport>(place(stage.stage().name));
  report.stage_step = stage.progress().steps;
  report.stage_steps = stage.steps();
  if (const auto left = run_length_left(parts_.schedule, schedule_.state(), state_.cursor,
                                        train_samples_, parts_.data.batch)) {
    report.run_steps = state_.step + left->steps_left;
    report.may_be_fewer = left->may_be_fewer;
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
  report.compute_seconds = figures.seconds - report.data_seconds - counters.exposed_seconds;
  if (!gpu_of(parts_.model)) {
    report.compute_parts = {.forward = seconds_in(figures.spans, StepSpan::kForward),
                            .backward = seconds_in(figures.spans, StepSpan::kBackward),
                            .optimizer = seconds_in(figures.spans, StepSpan::kUpdate)};
  }
  tell(&TrainingObserver::step, report);
}

void Trainer::Run::report_skipped(const StageRun& stage, const GuardedStep::Outcome& outcome) {
  auto report = report_at<SkippedReport>(place(stage.stage().name));
  report.loss = outcome.loss;
  report.gradient_norm = outcome.gradient_norm;
  report.in_a_row = guarded_step_.skipped();
  tell(&TrainingObserver::skipped, report);
}

}  // namespace thaw
