#include "launch/kept_run/run_difference.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "core/base/json_fields.h"
#include "core/base/text_bytes.h"
#include "core/config/option_table.h"
#include "launch/identity/kept_identity.h"
#include "launch/kept_run/run_account.h"

namespace thaw {
namespace {

using Json = nlohmann::ordered_json;
using Values = std::vector<std::pair<std::string, Json>>;

/// Of two lists of named values those that differ, in the order of the first, then the second's.
std::vector<ValueDifference> different(const Values& first, const Values& second) {
  std::map<std::string, Json> others(second.begin(), second.end());
  std::set<std::string> seen;
  std::vector<ValueDifference> rows;
  for (const auto& [what, value] : first) {
    const auto other = others.find(what);
    const Json there = other != others.end() ? other->second : Json(nullptr);
    if (value != there) rows.push_back({what, value, there});
    seen.insert(what);
  }
  for (const auto& [what, value] : second) {
    if (!seen.contains(what)) rows.push_back({what, Json(nullptr), value});
  }
  return rows;
}

/// All options but where the run is kept.
Values options_of(const RunAccount& account) {
  Values values;
  if (!account.document) return values;
  for (const Option& option : option_table()) {
    if (option.section == "schedule" || option.name() == "output.run-dir") continue;
    values.emplace_back(option.name(), utf8_of_bytes(toml_text(option.get(*account.document))));
  }
  return values;
}

Values inputs_of(const RunAccount& account) {
  const KeptIdentity kept = read_kept_identity(account.folder.identity());
  return {kept.facts.begin(), kept.facts.end()};
}

/// "head 0.001, encoder.5 0.0001"
std::string rates_text(const StoryStage& stage) {
  std::vector<std::string> parts;
  for (const auto& [group, rate] : stage.groups)
    parts.push_back(fmt::format("{} {:g}", group, rate));
  return fmt::format("{}", fmt::join(parts, ", "));
}

/// "stage 2"
std::string place_of(std::size_t stage) { return fmt::format("stage {}", stage + 1); }

Values schedule_of(const RunAccount& account) {
  Values values;
  const std::vector<StoryStage>& stages = account.story.stages;
  values.emplace_back("stages", stages.size());
  for (std::size_t i = 0; i < stages.size(); ++i) {
    const StoryStage& stage = stages[i];
    values.emplace_back(place_of(i) + ": name", utf8_of_bytes(stage.name));
    values.emplace_back(place_of(i) + ": groups and rates", utf8_of_bytes(rates_text(stage)));
    values.emplace_back(place_of(i) + ": active parameters", stage.active_parameters);
    values.emplace_back(place_of(i) + ": begins at step", stage.first_step);
    values.emplace_back(place_of(i) + ": steps", stage.steps());
  }
  values.emplace_back("steps passed over", account.story.skipped);
  values.emplace_back("resumed", account.story.resumes.size());
  return values;
}

void add_evaluation(const std::string& when, const EvaluationReport& report, Values& values) {
  values.emplace_back(when + ": step", report.step);
  values.emplace_back(when + ": loss", json_number(report.loss));
  for (const Figure& figure : report.figures) {
    values.emplace_back(when + ": " + figure.name, json_number(figure.value));
  }
}

Values metrics_of(const RunAccount& account) {
  Values values;
  const RunStory& story = account.story;
  if (const EvaluationReport* best = story.best()) {
    add_evaluation("best " + best->split, *best, values);
  }
  if (!story.evaluations.empty()) {
    add_evaluation("last " + story.evaluations.back().split, story.evaluations.back(), values);
  }
  values.emplace_back("last training loss", json_number(story.train_loss));
  values.emplace_back("epochs", json_number(story.epoch));
  return values;
}

Values speed_of(const RunAccount& account) {
  Values values;
  if (account.ranks > 0) values.emplace_back("ranks", account.ranks);
  values.emplace_back("seconds", account.story.seconds);
  const std::vector<StoryStage>& stages = account.story.stages;
  for (std::size_t i = 0; i < stages.size(); ++i) {
    if (stages[i].told_steps == 0) continue;
    values.emplace_back(place_of(i) + ": ms a step", 1e3 * stages[i].median_step_seconds);
    values.emplace_back(place_of(i) + ": samples a second", stages[i].samples_per_second());
    values.emplace_back(place_of(i) + ": bytes a step", stages[i].bytes_reduced);
  }
  return values;
}

Json json_of(const std::vector<ValueDifference>& rows) {
  Json list = Json::array();
  for (const ValueDifference& row : rows) {
    list.push_back({{"what", row.what}, {"first", row.first}, {"second", row.second}});
  }
  return list;
}

}  // namespace

RunDifferences differences_between(const RunAccount& first, const RunAccount& second) {
  return {.configuration = different(options_of(first), options_of(second)),
          .inputs = different(inputs_of(first), inputs_of(second)),
          .schedule = different(schedule_of(first), schedule_of(second)),
          .metrics = different(metrics_of(first), metrics_of(second)),
          .speed = different(speed_of(first), speed_of(second))};
}

Json differences_json(const RunDifferences& differences, const std::string& first,
                      const std::string& second) {
  return {{"first", utf8_of_bytes(first)},
          {"second", utf8_of_bytes(second)},
          {"configuration", json_of(differences.configuration)},
          {"inputs", json_of(differences.inputs)},
          {"schedule", json_of(differences.schedule)},
          {"metrics", json_of(differences.metrics)},
          {"speed", json_of(differences.speed)}};
}

}  // namespace thaw
