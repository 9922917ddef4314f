#include "launch/run/output_loss.h"

#include <fmt/format.h>

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>

#include "core/base/error.h"
#include "core/base/json_text.h"
#include "core/base/whole_file.h"
#include "core/record/folder_lease.h"
#include "core/record/line_file.h"
#include "core/record/observer.h"
#include "core/record/run_folder.h"
#include "launch/job/process_start.h"

namespace thaw {
namespace {

void add_to_summary(const RunFolder& folder, const std::string& lost) {
  constexpr std::int64_t kLongest = 64 << 20;
  auto summary = read_json_object<nlohmann::ordered_json>(folder.summary().string(), kLongest,
                                                          "a run's summary.json");
  summary["output_lost"] = lost;
  write_whole_file(folder.summary(), summary.dump(2) + "\n");
}

void add_to_log(const RunFolder& folder, std::int64_t step, const std::string& lost) {
  LineFile log(folder.metrics(), /*goes_on=*/true);
  log.add(json_text(
      nlohmann::ordered_json{{"event", "output_lost"}, {"step", step}, {"output_lost", lost}}));
  log.settle();
}

}  // namespace

void tell_output_loss(const RunFolder& folder, const RunSummary& summary, const LeaseClaim& claim) {
  std::string lost = lost_output();
  const std::string errors = lost_errors();
  if (!lost.empty() && !errors.empty()) lost += "; ";
  lost += errors;
  if (lost.empty()) return;
  fmt::print(stderr,
             "thaw: warning: of what the run said was lost: {}; the run itself is whole in {}\n",
             lost, folder.path().string());
  try {
    claim.check();
    if (summary.stopped) {
      add_to_log(folder, summary.steps, lost);
    } else {
      add_to_summary(folder, lost);
    }
  } catch (const Error& error) {
    fmt::print(stderr, "thaw: warning: {}\n", error.what());
  }
  lost_errors();  // of these words
}

}  // namespace thaw
