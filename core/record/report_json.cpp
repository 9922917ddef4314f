#include "core/record/report_json.h"

#include "core/base/json_fields.h"

namespace thaw {
namespace {

void describe(auto fields, Described<EvaluationReport> auto& report) {
  fields("split", report.split);
  fields("loss", report.loss);
  fields("accuracy", report.accuracy);
  fields("macro_f1", report.macro_f1);
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
