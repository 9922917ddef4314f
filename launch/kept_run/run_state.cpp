#include "launch/kept_run/run_state.h"

#include <fmt/format.h>

#include <optional>
#include <system_error>

#include "core/checkpoint/store.h"
#include "core/record/folder_lease.h"
#include "launch/command/shell_word.h"
#include "launch/kept_run/is_there.h"

namespace thaw {
namespace {

namespace fs = std::filesystem;

}  // namespace

std::string_view name_of(RunCondition condition) {
  switch (condition) {
    case RunCondition::kRunning:
      return "running";
    case RunCondition::kComplete:
      return "finished";
    case RunCondition::kStopped:
      return "stopped";
    case RunCondition::kCutOff:
      break;
  }
  return "interrupted";
}

RunState state_of(const RunFolder& folder, const RunStory& story) {
  folder.require_run();
  RunState state;
  state.checkpoints = CheckpointStore(folder.checkpoints()).places();
  if (const std::optional<std::string> holder = holder_of_folder(folder.path())) {
    state.condition = RunCondition::kRunning;
    state.holder = *holder;
  } else if (is_there(folder.summary()) && is_there(folder.last_weights())) {
    state.condition = RunCondition::kComplete;
  } else if (!state.checkpoints.empty() && state.checkpoints.back().step >= story.steps) {
    state.condition = RunCondition::kStopped;
  }
  return state;
}

KeptBytes kept_bytes(const RunFolder& folder) {
  KeptBytes kept;
  std::error_code error;
  for (fs::recursive_directory_iterator each(folder.path(), error), end; !error && each != end;
       each.increment(error)) {
    std::error_code gone;
    const std::uintmax_t size = each->is_regular_file(gone) ? each->file_size(gone) : 0;
    if (gone) continue;
    const auto bytes = static_cast<std::int64_t>(size);
    const fs::path below = each->path().lexically_relative(folder.path());
    const auto part = below.begin();
    if (*part == folder.checkpoints().filename()) {
      const fs::path place = std::next(part) == below.end() ? fs::path() : *std::next(part);
      (parse_folder_name(place.string()) ? kept.checkpoints : kept.set_aside) += bytes;
    } else if (below == folder.last_weights().filename() ||
               below == folder.best_weights().filename()) {
      kept.weights += bytes;
    } else {
      kept.others += bytes;
    }
  }
  return kept;
}

std::string resume_command(const RunFolder& folder) {
  return fmt::format("thaw train {} --run-dir {}",
                     shell_word(folder.resolved_configuration().string()),
                     shell_word(folder.path().string()));
}

}  // namespace thaw
