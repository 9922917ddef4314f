#include <nlohmann/json.hpp>

#include "core/base/json_fields.h"
#include "core/base/text_bytes.h"
#include "core/record/report_json.h"
#include "launch/kept_run/account_text.h"
#include "launch/kept_run/run_account.h"

namespace thaw {
namespace {

using Json = nlohmann::ordered_json;

Json evaluation_json(const EvaluationReport& report) {
  Json json(report);
  json["best"] = report.best;
  return json;
}

Json stage_json(const RunStory& story, const StoryStage& stage) {
  Json groups = Json::object();
  for (const auto& [group, rate] : stage.groups) groups[group] = json_number(rate);
  Json row = {{"name", utf8_of_bytes(stage.name)},
              {"index", stage.index},
              {"groups", groups},
              {"active_parameters", stage.active_parameters},
              {"first_step", stage.first_step},
              {"last_step", stage.last_step},
              {"epochs", json_number(stage.last_epoch - stage.first_epoch)},
              {"seconds", stage.seconds},
              {"transition_seconds", stage.transition_seconds},
              {"step_seconds_median", stage.median_step_seconds},
              {"samples_per_second", stage.samples_per_second()},
              {"bytes_reduced_per_step", stage.bytes_reduced}};
  if (stage.losses > 0) row["train_loss"] = stage.loss_sum / static_cast<double>(stage.losses);
  if (const EvaluationReport* last = last_evaluation_in(story, stage)) {
    row["validation"] = evaluation_json(*last);
  }
  return row;
}

/// What the run came to.
void add_story(const RunStory& story, Json& json) {
  if (const EvaluationReport* best = story.best()) json["best"] = evaluation_json(*best);
  if (!story.evaluations.empty()) json["last"] = evaluation_json(story.evaluations.back());
  json["stages"] = Json::array();
  for (const StoryStage& stage : story.stages) json["stages"].push_back(stage_json(story, stage));
  json["resumes"] = Json::array();
  for (const ResumeReport& each : story.resumes) {
    json["resumes"].push_back({{"step", each.step}, {"path", each.path}, {"ranks", each.ranks}});
  }
}

/// What is on the disk.
void add_kept(const RunAccount& account, Json& json) {
  json["checkpoints"] = Json::array();
  for (const CheckpointPlace place : account.state.checkpoints) {
    json["checkpoints"].push_back(folder_name(place));
  }
  json["kept_bytes"] = {{"weights", account.kept.weights},
                        {"checkpoints", account.kept.checkpoints},
                        {"set_aside", account.kept.set_aside},
                        {"others", account.kept.others},
                        {"all", account.kept.all()}};
}

}  // namespace

Json account_json(const RunAccount& account) {
  const RunStory& story = account.story;
  const RunCondition condition = account.state.condition;
  Json json = {{"run", utf8_of_bytes(account.folder.path().string())},
               {"state", name_of(condition)},
               {"steps", story.steps},
               {"epochs", json_number(story.epoch)},
               {"seconds", story.seconds},
               {"train_loss", json_number(story.train_loss)},
               {"skipped", story.skipped}};
  if (!account.state.holder.empty()) json["holder"] = account.state.holder;
  if (account.ranks > 0) json["ranks"] = account.ranks;
  if (!account.network.says_nothing()) {
    json["task"] = account.network.task;
    json["architecture"] = account.network.architecture;
    json["classes"] = account.network.classes;
  }
  add_story(story, json);
  add_kept(account, json);
  if (condition == RunCondition::kStopped || condition == RunCondition::kCutOff) {
    json["resume_command"] = utf8_of_bytes(resume_command(account.folder));
  }
  return json;
}

}  // namespace thaw
