#include "launch/report/report_run.h"

#include <fmt/format.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <system_error>

#include "core/base/error.h"
#include "core/base/json_fields.h"
#include "core/base/json_text.h"
#include "core/base/text_bytes.h"
#include "launch/identity/kept_identity.h"
#include "launch/kept_run/run_state.h"
#include "launch/kept_run/run_story.h"

namespace thaw {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr std::int64_t kLongestSummary = 64 << 20;

/// Peaks that only the end tells, of runs that had no evaluation.
void add_memory(const Json& summary, ReportRun& run) {
  const Json& stages = summary.at("stages");
  for (std::size_t i = 0; i < stages.size() && i < run.stages.size(); ++i) {
    if (stages[i].at("name") != run.stages[i].name) return;
    run.stages[i].peak_memory_bytes = whole_number<std::int64_t>(stages[i].at("peak_memory_bytes"));
  }
}

void read_summary(const RunFolder& folder, ReportRun& run) {
  std::error_code ignored;
  if (!fs::exists(folder.summary(), ignored)) return;
  try {
    const auto json =
        read_json_object<Json>(folder.summary().string(), kLongestSummary, "a run's summary.json");
    run.versions["ranks"] = std::to_string(whole_number<int>(json.at("ranks")));
    add_memory(json, run);
  } catch (const Json::exception& error) {
    run.problems.push_back(fmt::format("{}: is not what a run writes: {}",
                                       printable(folder.summary().string()), error.what()));
  } catch (const InputError& error) {
    run.problems.emplace_back(error.what());
  }
}

/// What the run is, as far as people tell versions apart by it.
void read_identity(const RunFolder& folder, ReportRun& run) {
  for (const auto& [name, value] : read_kept_identity(folder.identity()).facts) {
    run.versions[name] = value;
  }
}

}  // namespace

ReportRun read_report_run(const std::string& path) {
  const RunFolder folder{fs::path(path)};
  folder.require_run();
  ReportBuilder builder;
  std::vector<std::string> problems;
  bool any = false;
  try {
    each_event(folder, [&](const Json& event) {
      builder.hear(event);
      any = true;
    });
  } catch (const InputError& error) {
    problems.push_back(fmt::format("{}. What comes after is left out.", error.what()));
  }
  ReportRun run = builder.run();
  run.problems = std::move(problems);
  const fs::path absolute = fs::weakly_canonical(folder.path());
  run.name = printable(absolute.filename().string());
  run.folder = printable(absolute.string());
  if (!any && run.problems.empty()) {
    run.problems.push_back(
        fmt::format("{}: has no event yet", printable(folder.metrics().string())));
  }
  try {
    run.state = name_of(state_of(folder, read_story(folder)).condition);
  } catch (const InputError& error) {
    run.state = "not known";  // its log is damaged, which is told already
  }
  read_summary(folder, run);
  read_identity(folder, run);
  return run;
}

}  // namespace thaw
