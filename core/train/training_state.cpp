#include "core/train/training_state.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "core/base/error.h"
#include "core/record/report_json.h"

namespace thaw {
namespace {

using Json = nlohmann::ordered_json;

Json facts_json(const RunFacts& facts) {
  return {
      {"ranks", facts.ranks}, {"threads", facts.threads},         {"device", facts.device},
      {"cpu", facts.cpu},     {"libtorch", facts.torch},          {"thaw", facts.version},
      {"data", facts.data},   {"model_config", facts.model_file}, {"processor", facts.processor}};
}

RunFacts facts_of(const Json& json) {
  RunFacts facts;
  facts.ranks = json.at("ranks").get<int>();
  facts.threads = json.at("threads").get<int>();
  facts.device = json.at("device").get<std::string>();
  facts.cpu = json.at("cpu").get<std::string>();
  facts.torch = json.at("libtorch").get<std::string>();
  facts.version = json.at("thaw").get<std::string>();
  facts.data = json.at("data").get<std::string>();
  facts.model_file = json.at("model_config").get<std::string>();
  facts.processor = json.value("processor", "");  // not in checkpoints of version 0.1's first days
  return facts;
}

Json evaluation_json(const std::optional<EvaluationReport>& report) {
  return report ? json_of(*report) : Json(nullptr);
}

std::optional<EvaluationReport> optional_evaluation(const Json& json) {
  if (json.is_null()) return std::nullopt;
  return evaluation_of(json);
}

TrainingState read(const Json& json) {
  TrainingState state;
  state.step = json.at("step").get<std::int64_t>();
  state.cursor = json.at("cursor").get<std::int64_t>();
  state.train_loss = number_of(json.at("train_loss"));
  state.seconds = json.at("seconds").get<double>();
  state.schedule = json.at("schedule").dump();
  const Json& stage = json.at("stage");
  state.in_stage = stage.at("under_way").get<bool>();
  state.stage = stage.at("name").get<std::string>();
  state.so_far = stage_summary_of(stage.at("so_far"));
  state.flop_samples = stage.at("flop_samples").get<std::int64_t>();
  state.step_seconds = stage.at("step_seconds").get<std::vector<double>>();
  const Json& reduction = json.at("reduction");
  state.reduction.parameters = reduction.at("order").get<std::vector<std::string>>();
  state.reduction.by_rows = reduction.at("by_rows").get<std::vector<std::string>>();
  state.evaluation_pending = json.at("evaluation_pending").get<bool>();
  for (const Json& each : json.at("stages")) state.stages.push_back(stage_summary_of(each));
  state.last_evaluation = optional_evaluation(json.at("last_evaluation"));
  state.best_evaluation = optional_evaluation(json.at("best_evaluation"));
  state.facts = facts_of(json.at("facts"));
  state.classes = json.at("classes").get<std::vector<std::string>>();
  state.weight_names = json.at("weight_names").get<std::map<std::string, std::string>>();
  return state;
}

}  // namespace

std::string to_json(const TrainingState& state) {
  Json stages = Json::array();
  for (const StageSummary& stage : state.stages) stages.push_back(json_of(stage));
  const Json json{
      {"step", state.step},
      {"cursor", state.cursor},
      {"train_loss", json_number(state.train_loss)},
      {"seconds", state.seconds},
      {"schedule", Json::parse(state.schedule)},
      {"stage",
       {{"under_way", state.in_stage},
        {"name", state.stage},
        {"so_far", json_of(state.so_far)},
        {"step_seconds", state.step_seconds},
        {"flop_samples", state.flop_samples}}},
      {"reduction", {{"order", state.reduction.parameters}, {"by_rows", state.reduction.by_rows}}},
      {"evaluation_pending", state.evaluation_pending},
      {"stages", stages},
      {"last_evaluation", evaluation_json(state.last_evaluation)},
      {"best_evaluation", evaluation_json(state.best_evaluation)},
      {"facts", facts_json(state.facts)},
      {"classes", state.classes},
      {"weight_names", state.weight_names}};
  return json.dump(1) + "\n";
}

TrainingState training_state_from_json(const std::string& text, const std::string& path) {
  TrainingState state;
  try {
    state = read(Json::parse(text));
  } catch (const nlohmann::json::exception& error) {
    throw InputError(fmt::format("{}: not the state of a training run: {}", path, error.what()));
  }
  if (state.step < 0 || state.cursor < 0 || (state.step == 0) != (state.cursor == 0)) {
    throw InputError(
        fmt::format("{}: step {} with {} samples consumed", path, state.step, state.cursor));
  }
  return state;
}

}  // namespace thaw
