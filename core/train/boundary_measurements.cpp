#include "core/train/boundary_measurements.h"

#include <fmt/format.h>

#include <cmath>
#include <utility>

#include "core/base/stopwatch.h"
#include "core/config/configuration.h"
#include "core/data/dataset.h"
#include "core/measure/forgetting.h"
#include "core/models/layers/batch_norm.h"
#include "core/models/model.h"
#include "core/parallel/agreement.h"
#include "core/parallel/communicator.h"
#include "core/parallel/step_monitor.h"
#include "core/step/freezer.h"
#include "core/step/parameter_table.h"
#include "core/tasks/mistakes.h"
#include "core/tasks/task.h"
#include "core/train/best/best_weights.h"
#include "core/train/reduction_rules.h"
#include "core/train/trainer.h"

namespace thaw {
namespace {

constexpr const char* kValidation = "validation";

/// What these stages have cost.
void add_training_cost(EvaluationReport& report, std::span<const StageSummary> stages) {
  for (const StageSummary& stage : stages) {
    report.trained_samples += stage.samples;
    report.training_seconds += stage.training_seconds;
    report.training_flops += stage.flops();
  }
}

/// Which classes are taken for which: all pairs where a person can read them, else the most
/// frequent.
void add_confusion(const Task& task, const Measurement& sums, EvaluationReport& report) {
  constexpr std::size_t kReadable = 16, kMistakes = 20;
  std::vector<std::vector<double>> confusion = task.confusion(sums);
  if (confusion.empty()) return;
  std::vector<std::string> classes = task.exclusive_classes();
  if (confusion.size() > kReadable) {
    for (const Mistake& each : most_frequent_mistakes(confusion, kMistakes)) {
      report.mistakes.push_back({classes.at(each.of), classes.at(each.said), each.samples});
    }
    return;
  }
  report.confusion = std::move(confusion);
  report.classes = std::move(classes);
}

}  // namespace

EvaluationSettings evaluation_settings(const DataOptions& data, const TrainOptions& train) {
  return {.batch = data.evaluation_batch > 0 ? data.evaluation_batch : data.batch,
          .read_ahead = data.read_ahead,
          .shards = canonical_shards(train)};
}

BoundaryMeasurements::BoundaryMeasurements(const Context& context)
    : context_(context),
      start_weights_(context.parts.start_weights != nullptr ? *context.parts.start_weights
                                                            : own_start_weights_) {
  const TrainOptions& train = context_.parts.train;
  if (context_.parts.communicator.size() > 1) {
    const bool synchronized = train.batch_norm == BatchNormStatistics::kSynchronized;
    audit_ = std::make_unique<Audit>(
        context_.parts.model, context_.parameters, context_.optimizer, context_.parts.communicator,
        Audit::Settings{
            .batch_norms = synchronized ? &context_.batch_norms : nullptr,
            .frozen_statistics_stay = train.frozen_batch_norm == FrozenBatchNorm::kKeep});
  }
}

void BoundaryMeasurements::enter_stage(const std::set<std::string>& active,
                                       bool frozen_statistics_stay) {
  if (audit_ != nullptr) {
    audit_->enter_stage(active, frozen_statistics_stay);
  }
  if (looks_at_groups()) start_weights_.thaw(active, context_.parameters);
}

/// Replicas have moved alike, so one of them is enough.
bool BoundaryMeasurements::looks_at_groups() const {
  return context_.parts.communicator.rank() == 0 && !context_.parts.observers.empty();
}

void BoundaryMeasurements::resume(const std::optional<StartFingerprints>& recorded) {
  if (looks_at_groups()) start_weights_.resume(recorded, context_.parameters);
}

std::optional<StartFingerprints> BoundaryMeasurements::start_fingerprints() const {
  return looks_at_groups() ? start_weights_.fingerprints() : std::nullopt;
}

void BoundaryMeasurements::look_at_groups(const LastStep& last_step,
                                          EvaluationReport& report) const {
  const Stopwatch watch;
  const ParameterTable& parameters = context_.parameters;
  const std::vector<std::optional<double>> distances = start_weights_.distances(parameters);
  const bool measured = !last_step.group_gradient_norms.empty();
  const std::vector<std::optional<double>> norms =
      measured ? last_step.group_gradient_norms : gradient_norms(parameters);
  double squares = 0;
  for (const std::optional<double>& norm : norms) squares += norm.value_or(0) * norm.value_or(0);
  // An optimizer may have clipped the gradients where they lie.
  const double whole = std::sqrt(squares);
  const double unclipped =
      !measured && last_step.gradient_norm > 0 && whole > 0 ? last_step.gradient_norm / whole : 1;
  const bool timed = last_step.group_time_shares.size() == parameters.groups().size() &&
                     parameters.groups() == parameters.places();
  for (std::size_t g = 0; g < parameters.groups().size(); ++g) {
    EvaluationReport::Group group{.name = parameters.groups()[g],
                                  .moved = distances[g],
                                  .gradient_norm = {},
                                  .time_share = {}};
    if (norms[g]) group.gradient_norm = *norms[g] * unclipped;
    if (timed) group.time_share = last_step.group_time_shares[g];
    report.groups.push_back(std::move(group));
  }
  report.group_seconds = watch.seconds();
}

void BoundaryMeasurements::tell_activity(const ReportPlace& place, const char* activity) const {
  auto report = report_at<ActivityReport>(place);
  report.activity = activity;
  tell(context_.parts.observers, &TrainingObserver::activity, report);
}

void BoundaryMeasurements::settle_buffers() {
  if (!context_.batch_norms_shared && context_.parts.communicator.size() > 1) {
    broadcast_tensors(context_.parts.communicator, named_buffers(context_.parts.model));
  }
}

void BoundaryMeasurements::audit(const ReportPlace& place) {
  if (audit_ == nullptr || audited_step_ == place.step) {
    return;
  }
  const Stopwatch watch;
  context_.monitor.phase(RankPhase::kAudit);
  audit_->check(place.step == 0 ? "loading"
                                : fmt::format("step {} of stage \"{}\"", place.step, place.stage));
  audited_step_ = place.step;
  auto report = report_at<AuditReport>(place);
  report.tensors = static_cast<std::int64_t>(audit_->tensors());
  report.bytes = audit_->bytes();
  report.seconds = watch.seconds();
  tell(context_.parts.observers, &TrainingObserver::audit, report);
}

void BoundaryMeasurements::measure_forgetting(const ReportPlace& place) {
  Forgetting* forgetting = context_.parts.forgetting;
  if (forgetting == nullptr) {
    return;
  }
  context_.monitor.phase(RankPhase::kEvaluation);
  tell_activity(place, "evaluating the source task");
  ForgettingReport report = forgetting->before();
  if (place.step > 0) {
    settle_buffers();
    const Freezer::EvaluationMode evaluation_mode(context_.freezer);
    report = forgetting->measure(context_.parts.communicator);
  }
  set_place(report, place);
  forgetting_ = {forgetting->before(), report};
  tell(context_.parts.observers, &TrainingObserver::forgetting, report);
}

Measurement BoundaryMeasurements::measure(const std::string& split,
                                          const PrefixSource* prefix) const {
  const TrainerParts& parts = context_.parts;
  context_.monitor.phase(RankPhase::kEvaluation);
  const Freezer::EvaluationMode evaluation_mode(context_.freezer);
  EvaluationSettings settings = evaluation_settings(parts.data, parts.train);
  settings.prefix = prefix;
  return thaw::evaluate(parts.model, parts.dataset, split, *parts.task, settings,
                        parts.communicator);
}

MetricValues BoundaryMeasurements::evaluate(const ReportPlace& place,
                                            std::span<const StageSummary> stages,
                                            const LastStep& last_step) {
  const TrainerParts& parts = context_.parts;
  evaluated_step_ = place.step;
  if (!parts.dataset.has_split(kValidation)) {
    return {};
  }
  const Stopwatch watch;
  context_.monitor.phase(RankPhase::kEvaluation);
  tell_activity(place, "evaluating");
  settle_buffers();
  const Measurement sums = measure(kValidation, prefix_);
  auto report = report_at<EvaluationReport>(place);
  report.split = kValidation;
  report.loss = sums.mean_loss();
  report.figures = parts.task->named_figures(sums);
  report.samples = sums.samples;
  report.seconds = watch.seconds();
  add_confusion(*parts.task, sums, report);
  if (!stages.empty()) report.peak_memory_bytes = stages.back().peak_memory_bytes;
  add_training_cost(report, stages);
  if (looks_at_groups()) look_at_groups(last_step, report);
  context_.monitor.phase(RankPhase::kSaving);
  report.best = !best_evaluation_ || report.loss < best_evaluation_->loss;
  last_evaluation_ = report;
  if (report.best) {
    tell_activity(place, "saving");
    best_evaluation_ = report;
  }
  if (parts.communicator.rank() == 0) context_.best_weights.evaluated(report.best);
  tell(parts.observers, &TrainingObserver::evaluation, report);
  MetricValues values{{"validation/loss", report.loss}};
  for (const Figure& figure : report.figures) values["validation/" + figure.name] = figure.value;
  return values;
}

void BoundaryMeasurements::restore(const std::optional<EvaluationReport>& last,
                                   const std::optional<EvaluationReport>& best) {
  last_evaluation_ = last;
  best_evaluation_ = best;
}

}  // namespace thaw
