#include "core/record/metrics_cut.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "core/base/input_text.h"
#include "core/base/json_fields.h"
#include "core/base/json_text.h"
#include "core/base/whole_file.h"

namespace thaw {

bool stays_in_log(const std::string& line, const MetricsCut& cut) {
  if (json_is_deeper(line)) return false;
  const nlohmann::json json = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object() || !json.contains("event") || !json.contains("step")) return false;
  const auto step = whole_if_any<std::int64_t>(json["step"]);
  if (!step) return false;
  const nlohmann::json& event = json["event"];
  if (*step > cut.step || event == "end") return false;
  if (*step < cut.step) return true;
  if (event == "evaluation" || event == "samples") return cut.evaluated;
  return event != "transition";
}

namespace {

/// The step of which a line that stays tells, if it tells of one.
std::optional<std::int64_t> step_of(const std::string& line) {
  const nlohmann::json json = nlohmann::json::parse(line);
  if (json["event"] != "step" && json["event"] != "skipped") return std::nullopt;
  return whole_if_any<std::int64_t>(json["step"]);
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
  constexpr std::size_t kPiece = 1 << 20;  // written at a time
  InputLines file(path.string());
  WholeFile log(path);
  std::string kept;
  for (std::string line; file.next(line);) {
    if (!stays_in_log(line, cut)) continue;
    kept += line + '\n';
    if (kept.size() >= kPiece) log.write(std::exchange(kept, {}));
    if (const std::optional<std::int64_t> step = step_of(line)) {
      if (logged.last > 0) logged.apart = std::max<std::int64_t>(*step - logged.last, 1);
      logged.last = *step;
    }
  }
  log.write(kept);
  log.commit();
  return logged;
}

}  // namespace thaw
