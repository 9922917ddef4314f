#include "core/record/report_json.h"

#include <cmath>
#include <limits>

namespace thaw {

using Json = nlohmann::ordered_json;

Json json_number(double value) { return std::isfinite(value) ? Json(value) : Json(nullptr); }

double number_of(const Json& json) {
  return json.is_null() ? std::numeric_limits<double>::quiet_NaN() : json.get<double>();
}

Json json_of(const EvaluationReport& report) {
  return {{"split", report.split},
          {"loss", json_number(report.loss)},
          {"accuracy", report.accuracy},
          {"macro_f1", report.macro_f1},
          {"samples", report.samples},
          {"step", report.step},
          {"epoch", json_number(report.epoch)},
          {"stage", report.stage},
          {"trained_samples", report.trained_samples},
          {"training_seconds", report.training_seconds},
          {"training_flops", report.training_flops}};
}

Json json_of(const StageSummary& stage) {
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

EvaluationReport evaluation_of(const Json& json) {
  EvaluationReport report;
  report.split = json.at("split").get<std::string>();
  report.loss = number_of(json.at("loss"));
  report.accuracy = json.at("accuracy").get<double>();
  report.macro_f1 = json.at("macro_f1").get<double>();
  report.samples = json.at("samples").get<std::int64_t>();
  report.step = json.at("step").get<std::int64_t>();
  report.epoch = number_of(json.at("epoch"));
  report.stage = json.at("stage").get<std::string>();
  report.trained_samples = json.at("trained_samples").get<std::int64_t>();
  report.training_seconds = json.at("training_seconds").get<double>();
  report.training_flops = json.at("training_flops").get<double>();
  return report;
}

StageSummary stage_summary_of(const Json& json) {
  StageSummary stage;
  stage.name = json.at("name").get<std::string>();
  stage.steps = json.at("steps").get<std::int64_t>();
  stage.seconds = json.at("seconds").get<double>();
  stage.training_seconds = json.at("training_seconds").get<double>();
  stage.samples = json.at("samples").get<std::int64_t>();
  const Json& flops = json.at("flops_per_sample");
  stage.flops_per_sample.forward = flops.at("forward").get<double>();
  stage.flops_per_sample.input_gradients = flops.at("input_gradients").get<double>();
  stage.flops_per_sample.weight_gradients = flops.at("weight_gradients").get<double>();
  stage.step_seconds_median = json.at("step_seconds_median").get<double>();
  stage.active_parameters = json.at("active_parameters").get<std::int64_t>();
  stage.bytes_reduced_per_step = json.at("bytes_reduced_per_step").get<std::int64_t>();
  stage.padding_bytes_per_step = json.at("padding_bytes_per_step").get<std::int64_t>();
  stage.peak_memory_bytes = json.at("peak_memory_bytes").get<std::int64_t>();
  stage.transition_seconds = json.at("transition_seconds").get<double>();
  return stage;
}

}  // namespace thaw
