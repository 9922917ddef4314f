#include "core/record/run_history.h"

#include <fmt/format.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "core/base/error.h"

namespace thaw {
namespace {

using Json = nlohmann::ordered_json;

HappenedStage stage_of(const Json& event) {
  HappenedStage stage;
  event.at("stage").get_to(stage.name);
  event.at("stage_index").get_to(stage.index);
  event.at("step").get_to(stage.step);
  event.at("curve_steps").get_to(stage.curve_steps);
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
    history.steps = event.at("step").get<std::int64_t>();
  }
}

}  // namespace

RunHistory read_history(const RunFolder& folder) {
  std::ifstream file(folder.metrics());
  if (!file) {
    throw InputError(fmt::format("{}: cannot be read; is {} the folder of a run?",
                                 folder.metrics().string(), folder.path().string()));
  }
  RunHistory history;
  std::int64_t number = 0;
  for (std::string line; std::getline(file, line);) {
    ++number;
    if (line.empty() || file.eof()) continue;  // what a killed run did not write to its end
    try {
      add(Json::parse(line), history);
    } catch (const Json::exception& error) {
      throw InputError(fmt::format("{}:{}: is no event of a run that this version understands: {}",
                                   folder.metrics().string(), number, error.what()));
    }
  }
  if (history.stages.empty()) {
    throw InputError(fmt::format("{}: tells of no stage", folder.metrics().string()));
  }
  return history;
}

}  // namespace thaw
