#include "core/train/training_state.h"

#include <fmt/format.h>

#include "core/base/error.h"
#include "core/base/json_fields.h"
#include "core/base/json_text.h"
#include "core/record/report_json.h"
#include "core/schedule/schedule_state_json.h"

namespace thaw {

// What stands in a checkpoint's state.json, and under which name: see Note [Described values].
namespace {

void describe(auto fields, Described<RunFacts> auto& facts) {
  fields("ranks", facts.ranks);
  fields("threads", facts.threads);
  fields("device", facts.device);
  fields("cpu", facts.cpu);
  fields("libtorch", facts.torch);
  fields("thaw", facts.version);
  fields("data", facts.data);
  fields("model_config", facts.model_file);
  fields.added("processor", facts.processor);
  fields.added("identity", facts.identity);
}

void describe(auto fields, Described<StageState> auto& stage) {
  fields("under_way", stage.under_way);
  fields("name", stage.name);
  fields("so_far", stage.so_far);
  fields("step_seconds", stage.step_seconds);
  fields("flop_samples", stage.flop_samples);
}

void describe(auto fields, Described<ReductionOrder> auto& reduction) {
  fields("order", reduction.parameters);
  fields("by_rows", reduction.by_rows);
}

void describe(auto fields, Described<TrainingState> auto& state) {
  fields("step", state.step);
  fields("cursor", state.cursor);
  fields("train_loss", state.train_loss);
  fields("seconds", state.seconds);
  fields("schedule", state.schedule);
  fields("stage", state.stage);
  fields("reduction", state.reduction);
  fields("evaluation_pending", state.evaluation_pending);
  fields("stages", state.stages);
  fields("last_evaluation", state.last_evaluation);
  fields("best_evaluation", state.best_evaluation);
  fields("facts", state.facts);
  fields("classes", state.classes);
  fields("weight_names", state.weight_names);
  fields.added("model", state.model);
  fields.added("start_weights", state.start_weights);
}

}  // namespace

// Found by the library, and by nobody else.
void to_json(nlohmann::ordered_json& json, const RunFacts& facts);
void from_json(const nlohmann::ordered_json& json, RunFacts& facts);
void to_json(nlohmann::ordered_json& json, const StageState& stage);
void from_json(const nlohmann::ordered_json& json, StageState& stage);
void to_json(nlohmann::ordered_json& json, const ReductionOrder& reduction);
void from_json(const nlohmann::ordered_json& json, ReductionOrder& reduction);
void to_json(nlohmann::ordered_json& json, const TrainingState& state);
void from_json(const nlohmann::ordered_json& json, TrainingState& state);

THAW_JSON_BY_DESCRIPTION(RunFacts)
THAW_JSON_BY_DESCRIPTION(StageState)
THAW_JSON_BY_DESCRIPTION(ReductionOrder)
THAW_JSON_BY_DESCRIPTION(TrainingState)

std::string to_json(const TrainingState& state) {
  return json_text(nlohmann::ordered_json(state), 1) + "\n";
}

TrainingState training_state_from_json(const std::string& text, const std::string& path) {
  auto state = value_from_json<TrainingState>(text, path + ": not the state of a training run");
  if (state.step < 0 || state.cursor < 0 || (state.step == 0) != (state.cursor == 0)) {
    throw InputError(
        fmt::format("{}: step {} with {} samples consumed", path, state.step, state.cursor));
  }
  return state;
}

}  // namespace thaw
