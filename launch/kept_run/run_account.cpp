#include "launch/kept_run/run_account.h"

#include <filesystem>
#include <nlohmann/json.hpp>

#include "core/base/json_fields.h"
#include "core/base/json_text.h"
#include "core/models/weights/safetensors.h"
#include "launch/kept_run/is_there.h"
#include "launch/kept_run/kept_run.h"

namespace thaw {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::int64_t kLongestSummary = 64 << 20;

ModelDescription network_of(const RunFolder& folder) {
  for (const std::filesystem::path& path : {folder.last_weights(), folder.best_weights()}) {
    if (is_there(path)) return description_in(SafetensorsFile(path.string()));
  }
  return {};
}

int ranks_of(const RunFolder& folder, const RunStory& story) {
  if (is_there(folder.summary())) {
    const Json summary =
        read_json_object<Json>(folder.summary().string(), kLongestSummary, "a run's summary.json");
    return whole_number_at(summary, "ranks", 0);
  }
  return story.resumes.empty() ? 0 : story.resumes.back().ranks;
}

}  // namespace

const EvaluationReport* last_evaluation_in(const RunStory& story, const StoryStage& stage) {
  const EvaluationReport* last = nullptr;
  for (const EvaluationReport& each : story.evaluations) {
    if (each.stage == stage.name && each.step > stage.first_step && each.step <= stage.last_step) {
      last = &each;
    }
  }
  return last;
}

RunAccount read_account(const RunFolder& folder) {
  folder.require_run();
  RunAccount account;
  account.folder = folder;
  if (is_there(folder.resolved_configuration())) account.document = configuration_of(folder);
  account.story = read_story(folder);
  account.state = state_of(folder, account.story);
  account.kept = kept_bytes(folder);
  account.network = network_of(folder);
  account.ranks = ranks_of(folder, account.story);
  return account;
}

}  // namespace thaw
