#include "core/record/report_json.h"

#include <set>
#include <string>

#include "core/base/json_fields.h"

namespace thaw {

void add_figures(const std::vector<Figure>& figures, nlohmann::ordered_json& json) {
  for (const Figure& figure : figures) {
    json[key_of_metric(figure.name)] = json_number(figure.value);
  }
}

std::vector<Figure> figures_of(const nlohmann::ordered_json& json) {
  static const std::set<std::string> others = {
      "event",          "split",     "loss",    "samples",         "step",
      "epoch",          "stage",     "seconds", "trained_samples", "training_seconds",
      "training_flops", "best",      "groups",  "group_seconds",   "peak_memory_bytes",
      "classes",        "confusion", "mistakes"};
  std::vector<Figure> figures;
  for (const auto& [key, value] : json.items()) {
    if (!others.contains(key)) figures.push_back({metric_of_key(key), number_of(value)});
  }
  return figures;
}

namespace {

void describe_figures(JsonWriter& fields, const std::vector<Figure>& figures) {
  for (const Figure& figure : figures) fields(key_of_metric(figure.name).c_str(), figure.value);
}
void describe_figures(const JsonReader& fields, std::vector<Figure>& figures) {
  figures = figures_of(fields.json());
}

void describe(auto fields, Described<EvaluationReport> auto& report) {
  fields("split", report.split);
  fields("loss", report.loss);
  describe_figures(fields, report.figures);
  fields("samples", report.samples);
  fields("step", report.step);
  fields("epoch", report.epoch);
  fields("stage", report.stage);
  fields("trained_samples", report.trained_samples);
  fields("training_seconds", report.training_seconds);
  fields("training_flops", report.training_flops);
}

void describe(auto fields, Described<Flops> auto& flops) {
  fields("forward", flops.forward);
  fields("input_gradients", flops.input_gradients);
  fields("weight_gradients", flops.weight_gradients);
}

void describe(auto fields, Described<StageSummary> auto& stage) {
  fields("name", stage.name);
  fields.added("goes_on", stage.goes_on);
  fields("steps", stage.steps);
  fields("seconds", stage.seconds);
  fields("step_seconds_median", stage.step_seconds_median);
  fields("training_seconds", stage.training_seconds);
  fields("samples", stage.samples);
  fields("flops_per_sample", stage.flops_per_sample);
  fields.derived("flops", stage.flops());
  fields("active_parameters", stage.active_parameters);
  fields("bytes_reduced_per_step", stage.bytes_reduced_per_step);
  fields("padding_bytes_per_step", stage.padding_bytes_per_step);
  fields("peak_memory_bytes", stage.peak_memory_bytes);
  fields("transition_seconds", stage.transition_seconds);
}

}  // namespace

THAW_JSON_BY_DESCRIPTION(EvaluationReport)
THAW_JSON_BY_DESCRIPTION(Flops)
THAW_JSON_BY_DESCRIPTION(StageSummary)

}  // namespace thaw
