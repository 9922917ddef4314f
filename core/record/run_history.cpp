#include "core/record/run_history.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "core/base/error.h"
#include "core/base/input_text.h"
#include "core/base/json_fields.h"
#include "core/base/json_text.h"

namespace thaw {
namespace {

using Json = nlohmann::ordered_json;

HappenedStage stage_of(const Json& event) {
  HappenedStage stage;
  stage.name = event.at("stage").get<std::string>();
  stage.index = whole_number<std::size_t>(event.at("stage_index"));
  stage.step = whole_number<std::int64_t>(event.at("step"));
  stage.curve_steps = whole_number<std::int64_t>(event.at("curve_steps"));
  for (const auto& group : event.at("groups").items()) stage.groups.push_back(group.key());
  return stage;
}

void add(const Json& event, RunHistory& history) {
  const auto kind = event.at("event").get<std::string>();
  if (kind == "transition") {
    HappenedStage stage = stage_of(event);
    std::vector<HappenedStage>& stages = history.stages;
    // A run that was resumed goes on from a step that it may have passed before.
    while (!stages.empty() &&
           (stages.back().step > stage.step ||
            (stages.back().step == stage.step && stages.back().name != stage.name))) {
      stages.pop_back();
    }
    history.steps = stage.step;
    if (stages.empty() || stages.back().name != stage.name) stages.push_back(std::move(stage));
  } else if (kind == "step" || kind == "end") {
    history.steps = whole_number<std::int64_t>(event.at("step"));
  }
}

}  // namespace

RunHistory read_history(const RunFolder& folder) {
  folder.require_run();
  InputLines file(folder.metrics().string());
  RunHistory history;
  for (std::string line; file.next(line);) {
    if (line.empty() || !file.ended()) continue;  // what a killed run did not write to its end
    try {
      add(parse_json<Json>(line), history);
    } catch (const Json::exception& error) {
      throw InputError(fmt::format("{}:{}: is no event of a run that this version understands: {}",
                                   folder.metrics().string(), file.number(), error.what()));
    }
  }
  if (history.stages.empty()) {
    throw InputError(fmt::format("{}: tells of no stage", folder.metrics().string()));
  }
  return history;
}

}  // namespace thaw
