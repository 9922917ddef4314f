#include "core/train/report_json.h"

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
          {"stage", report.stage}};
}

Json json_of(const StageSummary& stage) {
  return {{"name", stage.name},
          {"steps", stage.steps},
          {"seconds", stage.seconds},
          {"step_seconds_median", stage.step_seconds_median},
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
  return report;
}

StageSummary stage_summary_of(const Json& json) {
  StageSummary stage;
  stage.name = json.at("name").get<std::string>();
  stage.steps = json.at("steps").get<std::int64_t>();
  stage.seconds = json.at("seconds").get<double>();
  stage.step_seconds_median = json.at("step_seconds_median").get<double>();
  stage.active_parameters = json.at("active_parameters").get<std::int64_t>();
  stage.bytes_reduced_per_step = json.at("bytes_reduced_per_step").get<std::int64_t>();
  stage.padding_bytes_per_step = json.at("padding_bytes_per_step").get<std::int64_t>();
  stage.peak_memory_bytes = json.at("peak_memory_bytes").get<std::int64_t>();
  stage.transition_seconds = json.at("transition_seconds").get<double>();
  return stage;
}

}  // namespace thaw
