#include "core/train/metrics_log.h"

#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "core/base/error.h"

namespace thaw {
namespace {

using Json = nlohmann::ordered_json;

/// JSON has no NaN and no infinity: those figures are written as null.
Json number(double value) { return std::isfinite(value) ? Json(value) : Json(nullptr); }

Json evaluation_json(const EvaluationReport& report) {
  return {{"split", report.split},
          {"loss", number(report.loss)},
          {"accuracy", report.accuracy},
          {"macro_f1", report.macro_f1},
          {"samples", report.samples},
          {"step", report.step},
          {"epoch", number(report.epoch)},
          {"stage", report.stage},
          {"trained_samples", report.trained_samples},
          {"training_seconds", report.training_seconds},
          {"training_flops", report.training_flops}};
}

Json stage_json(const StageSummary& stage) {
  return {{"name", stage.name},
          {"steps", stage.steps},
          {"seconds", stage.seconds},
          {"step_seconds_median", stage.step_seconds_median},
          {"training_seconds", stage.training_seconds},
          {"samples", stage.samples},
          {"flops_per_sample",
           {{"forward", stage.flops_per_sample.forward},
            {"input_gradients", stage.flops_per_sample.input_gradients},
            {"weight_gradients", stage.flops_per_sample.weight_gradients}}},
          {"flops", stage.flops()},
          {"active_parameters", stage.active_parameters},
          {"bytes_reduced_per_step", stage.bytes_reduced_per_step},
          {"padding_bytes_per_step", stage.padding_bytes_per_step},
          {"peak_memory_bytes", stage.peak_memory_bytes},
          {"transition_seconds", stage.transition_seconds}};
}

double flops_of(const RunSummary& summary) {
  double sum = 0;
  for (const StageSummary& stage : summary.stages) sum += stage.flops();
  return sum;
}

}  // namespace

MetricsLog::MetricsLog(const RunFolder& folder, std::int64_t log_every)
    : folder_(folder), log_every_(log_every), log_(folder.metrics(), std::ios::trunc) {
  if (!log_) {
    throw RunError(fmt::format("{}: cannot be created", folder.metrics().string()));
  }
}

void MetricsLog::write_line(const std::string& json) {
  // Flushed line by line: whoever follows the file sees each step, and a killed run keeps them.
  log_ << json << std::endl;
  if (!log_) {
    throw RunError(
        fmt::format("{}: cannot be written; is the disk full?", folder_.metrics().string()));
  }
}

void MetricsLog::transition(const TransitionReport& report) {
  Json groups = Json::object();
  for (const TransitionReport::Group& group : report.groups) {
    if (group.active) {
      groups[group.name] = group.learning_rate;
    }
  }
  write_line(Json{{"event", "transition"},
                  {"step", report.step},
                  {"epoch", number(report.epoch)},
                  {"stage", report.stage},
                  {"stage_index", report.index},
                  {"groups", groups},
                  {"curve_steps", report.curve_steps},
                  {"active_parameters", report.active_parameters},
                  {"backward_cut", report.backward_cut},
                  {"plan", report.plan},
                  {"buckets", report.costs.buckets},
                  {"gradient_bytes", report.costs.gradient_bytes},
                  {"prepared", report.costs.prepared},
                  {"agreement_seconds", report.costs.agreement_seconds},
                  {"build_seconds", report.costs.build_seconds},
                  {"optimizer_seconds", report.optimizer_seconds},
                  {"seconds", report.seconds}}
                 .dump());
}

void MetricsLog::step(const StepReport& report) {
  if (report.step % log_every_ != 0) {
    return;
  }
  Json rates = Json::object();
  for (const auto& [group, rate] : report.learning_rates) {
    rates[group] = rate;
  }
  Json line{{"event", "step"},
            {"step", report.step},
            {"epoch", number(report.epoch)},
            {"stage", report.stage},
            {"loss", number(report.loss)},
            {"learning_rate", report.learning_rate},
            {"learning_rates", rates},
            {"samples", report.samples},
            {"samples_per_second",
             report.seconds > 0 ? static_cast<double>(report.samples) / report.seconds : 0.0},
            {"bytes_reduced", report.bytes_reduced},
            {"seconds",
             {{"total", report.seconds},
              {"data", report.data_seconds},
              {"compute", report.compute_seconds},
              {"communication", report.communication_seconds}}}};
  if (report.gradient_norm > 0) {
    line["gradient_norm"] = number(report.gradient_norm);
  }
  write_line(line.dump());
}

void MetricsLog::evaluation(const EvaluationReport& report) {
  Json line{{"event", "evaluation"}};
  line.update(evaluation_json(report));
  line["seconds"] = report.seconds;
  line["best"] = report.best;
  write_line(line.dump());
}

void MetricsLog::audit(const AuditReport& report) {
  write_line(Json{{"event", "audit"},
                  {"step", report.step},
                  {"epoch", number(report.epoch)},
                  {"stage", report.stage},
                  {"tensors", report.tensors},
                  {"bytes", report.bytes},
                  {"seconds", report.seconds}}
                 .dump());
}

void MetricsLog::end(const RunSummary& summary) {
  write_line(Json{{"event", "end"},
                  {"step", summary.steps},
                  {"epoch", number(summary.epochs)},
                  {"stage", summary.stages.empty() ? "" : summary.stages.back().name},
                  {"loss", number(summary.train_loss)},
                  {"seconds", summary.seconds}}
                 .dump());
  Json json{{"steps", summary.steps},     {"epochs", number(summary.epochs)},
            {"seconds", summary.seconds}, {"ranks", summary.ranks},
            {"flops", flops_of(summary)}, {"train_loss", number(summary.train_loss)}};
  if (summary.evaluated) {
    json["validation"] = evaluation_json(summary.last_evaluation);
    json["best"] = evaluation_json(summary.best_evaluation);
  }
  json["stages"] = Json::array();
  for (const StageSummary& stage : summary.stages) {
    json["stages"].push_back(stage_json(stage));
  }
  write_file_atomically(folder_.summary(), json.dump(2) + "\n");
}

}  // namespace thaw
