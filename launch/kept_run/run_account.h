#pragma once

#include <optional>

#include "core/config/configuration_document.h"
#include "core/models/weights/model_description.h"
#include "core/record/run_folder.h"
#include "launch/kept_run/run_state.h"
#include "launch/kept_run/run_story.h"

namespace thaw {

/// All that a run's folder tells, read once: what `thaw inspect` shows and `thaw diff` compares.
struct RunAccount {
  RunFolder folder{""};
  std::optional<ConfigurationDocument> document;  ///< nothing: config.resolved.toml is missing
  RunStory story;
  RunState state;
  KeptBytes kept;
  /// What its weights say of the network; of a run that has none yet, nothing.
  ModelDescription network;
  int ranks = 0;  ///< that trained last; 0: not told
};

/// Reads a run that is over or still going; changes nothing. Throws InputError where there is no
/// run, or a file of it is none that a run writes.
RunAccount read_account(const RunFolder& folder);

/// The last evaluation within a stage; null where there was none.
const EvaluationReport* last_evaluation_in(const RunStory& story, const StoryStage& stage);

}  // namespace thaw
