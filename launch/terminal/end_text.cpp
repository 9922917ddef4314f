#include "launch/terminal/end_text.h"

#include <fmt/format.h>

#include <cstdint>
#include <filesystem>
#include <system_error>

#include "core/base/text_bytes.h"
#include "core/checkpoint/store.h"
#include "core/record/observer.h"
#include "core/record/run_folder.h"
#include "launch/terminal/text_table.h"

namespace thaw {
namespace {

namespace fs = std::filesystem;

/// Of all files below a folder; what cannot be looked at counts nothing.
std::int64_t bytes_in(const fs::path& path) {
  std::int64_t sum = 0;
  std::error_code error;
  for (fs::recursive_directory_iterator each(path, error), end; !error && each != end;
       each.increment(error)) {
    std::error_code gone;
    const std::uintmax_t bytes = each->is_regular_file(gone) ? each->file_size(gone) : 0;
    if (!gone) sum += static_cast<std::int64_t>(bytes);
  }
  return sum;
}

/// What a run folder takes, and which options bound that.
std::string kept_text(const RunFolder& folder) {
  const std::size_t checkpoints = CheckpointStore(folder.checkpoints()).places().size();
  return fmt::format(
      "  {} there, {} of it in {} checkpoint{} to go on from: the newest, the\n"
      "  best and those at transitions (checkpoint.keep, keep-best, keep-transitions);\n"
      "  a finished run needs none\n",
      bytes_text(bytes_in(folder.path())), bytes_text(bytes_in(folder.checkpoints())), checkpoints,
      checkpoints == 1 ? "" : "s");
}

}  // namespace

std::string end_text(const RunSummary& summary, const RunFolder& folder) {
  const std::string path = printable(folder.path().string());
  if (!summary.stopped) return fmt::format("  kept in {}\n{}", path, kept_text(folder));
  std::string text = fmt::format(
      "Stopped after step {} since {}; all is saved in {}: the same command goes on\n"
      "  saved: the checkpoint of step {} (weights, optimizer, schedule, place in the data)\n",
      summary.steps, summary.stop_reason, path, summary.steps);
  std::error_code ignored;
  if (summary.evaluated && std::filesystem::exists(folder.best_weights(), ignored)) {
    text += fmt::format("  and {}: the best weights so far, of step {}\n",
                        folder.best_weights().filename().string(), summary.best_evaluation.step);
  }
  return text;
}

}  // namespace thaw
