#include "launch/export/trained_run.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "core/base/error.h"
#include "core/base/input_text.h"
#include "core/base/json_fields.h"
#include "core/base/json_text.h"
#include "core/checkpoint/layout.h"
#include "core/config/configuration_document.h"
#include "core/record/report_json.h"
#include "core/record/run_folder.h"
#include "core/record/run_history.h"

namespace thaw {
namespace {

using Json = nlohmann::ordered_json;
namespace fs = std::filesystem;

/// The log's lines that read_history leaves out. Those that a resumed run made again come later and
/// count.
struct LoggedFigures {
  std::map<std::pair<std::int64_t, std::string>, std::pair<double, std::int64_t>> transitions;
  std::map<std::int64_t, EvaluationReport> evaluations;
  std::int64_t best_step = -1;
};

LoggedFigures read_figures(const RunFolder& folder) {
  LoggedFigures figures;
  InputLines file(folder.metrics().string());
  for (std::string line; file.next(line);) {
    if (line.empty() || !file.ended()) continue;
    const Json event = parse_json<Json>(line);
    const auto step = whole_number<std::int64_t>(event.at("step"));
    if (event.at("event") == "transition") {
      double highest = 0;
      for (const auto& group : event.at("groups").items()) {
        highest = std::max(highest, group.value().get<double>());
      }
      figures.transitions[{step, event.at("stage").get<std::string>()}] = {
          highest, whole_number<std::int64_t>(event.at("active_parameters"))};
    } else if (event.at("event") == "evaluation") {
      figures.evaluations[step] = event.get<EvaluationReport>();
      if (event.at("best").get<bool>()) figures.best_step = step;
    }
  }
  return figures;
}

std::vector<TrainedStage> stages_of(const RunHistory& history, const LoggedFigures& figures) {
  std::vector<TrainedStage> stages;
  for (std::size_t i = 0; i < history.stages.size(); ++i) {
    const HappenedStage& stage = history.stages[i];
    const bool is_last = i + 1 == history.stages.size();
    TrainedStage told{.name = stage.name,
                      .steps = (is_last ? history.steps : history.stages[i + 1].step) - stage.step,
                      .groups = stage.groups};
    const auto found = figures.transitions.find({stage.step, stage.name});
    if (found != figures.transitions.end()) {
      std::tie(told.learning_rate, told.active_parameters) = found->second;
    }
    stages.push_back(std::move(told));
  }
  return stages;
}

/// Of the sections that decide how it learnt: the others name places of files.
std::string settings_of(const std::string& toml) {
  std::string text, line;
  bool wanted = false;
  for (std::size_t at = 0; at < toml.size(); at += line.size() + 1) {
    line = toml.substr(at, toml.find('\n', at) - at);
    const std::size_t name = line.find_first_not_of('[');
    if (!line.empty() && line[0] == '[' && name != std::string::npos) {
      const std::string_view section = std::string_view(line).substr(name);
      wanted = section.starts_with("train") || section.starts_with("schedule") ||
               section.starts_with("task");
    }
    if (wanted) text += line + "\n";
  }
  return text;
}

/// The folder of the run that these weights lie in; "" where they lie in none.
fs::path folder_behind(const fs::path& weights) {
  const fs::path parent = fs::weakly_canonical(weights).parent_path();
  for (const fs::path& place : {parent, parent.parent_path()}) {
    if (fs::exists(RunFolder(place).metrics()) &&
        fs::exists(RunFolder(place).resolved_configuration())) {
      return place;
    }
  }
  return {};
}

std::optional<EvaluationReport> evaluation_of(const fs::path& weights, const RunFolder& folder,
                                              const LoggedFigures& figures) {
  std::int64_t step = -1;
  const std::string name = fs::weakly_canonical(weights).filename().string();
  if (name == folder.best_weights().filename()) {
    step = figures.best_step;
  } else if (const auto place = parse_folder_name(name)) {
    step = place->step;
  } else if (!figures.evaluations.empty()) {
    step = figures.evaluations.rbegin()->first;
  }
  const auto found = figures.evaluations.find(step);
  if (found == figures.evaluations.end()) return std::nullopt;
  return found->second;
}

}  // namespace

std::optional<TrainedRun> run_behind(const fs::path& weights) {
  const fs::path place = folder_behind(weights);
  if (place.empty()) return std::nullopt;
  const RunFolder folder(place);
  try {
    const RunHistory history = read_history(folder);
    const LoggedFigures figures = read_figures(folder);
    TrainedRun run;
    run.stages = stages_of(history, figures);
    run.steps = history.steps;
    run.evaluation = evaluation_of(weights, folder, figures);
    const std::string configuration = folder.resolved_configuration().string();
    for (const std::string& file : read_configuration(configuration, {}).configuration.data.file) {
      run.data.push_back(fs::path(file).filename().string());
    }
    constexpr std::int64_t kLongest = 16 << 20;
    run.settings = settings_of(read_input_text(configuration, kLongest));
    return run;
  } catch (const Json::exception& error) {
    throw InputError(fmt::format("{}: is no log that this version understands: {}",
                                 folder.metrics().string(), error.what()));
  }
}

}  // namespace thaw
