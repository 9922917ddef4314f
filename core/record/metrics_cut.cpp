#include "core/record/metrics_cut.h"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>
#include <optional>

#include "core/base/error.h"
#include "core/base/whole_file.h"

namespace thaw {

bool stays_in_log(const std::string& line, const MetricsCut& cut) {
  const nlohmann::json json = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object() || !json.contains("event") || !json.contains("step") ||
      !json["step"].is_number_integer()) {
    return false;
  }
  const auto step = json["step"].get<std::int64_t>();
  const nlohmann::json& event = json["event"];
  if (step > cut.step || event == "end") return false;
  if (step < cut.step) return true;
  if (event == "evaluation") return cut.evaluated;
  return event != "transition";
}

namespace {

/// The step of which a line that stays tells, if it tells of one.
std::optional<std::int64_t> step_of(const std::string& line) {
  const nlohmann::json json = nlohmann::json::parse(line);
  if (json["event"] != "step" && json["event"] != "skipped") return std::nullopt;
  return json["step"].get<std::int64_t>();
}

}  // namespace

std::string missing_steps(const LoggedSteps& logged, std::int64_t step, std::int64_t log_every) {
  if (step - logged.last < std::max(logged.apart, log_every)) return "";
  return fmt::format(
      "lines of steps {} to {} are missing: they were not on the disk when the machine went down, "
      "or were taken out; the training itself goes on from step {} and lacks nothing",
      logged.last + 1, step, step);
}

LoggedSteps cut_metrics(const std::filesystem::path& path, const MetricsCut& cut) {
  LoggedSteps logged;
  refuse_planted(path, /*folder=*/false);
  if (!std::filesystem::exists(path)) return logged;
  std::ifstream file(path);
  std::string kept;
  for (std::string line; std::getline(file, line);) {
    if (!stays_in_log(line, cut)) continue;
    kept += line + '\n';
    if (const std::optional<std::int64_t> step = step_of(line)) {
      if (logged.last > 0) logged.apart = std::max<std::int64_t>(*step - logged.last, 1);
      logged.last = *step;
    }
  }
  if (file.bad()) throw RunError(fmt::format("{}: cannot be read", path.string()));
  write_whole_file(path, kept);
  return logged;
}

}  // namespace thaw
