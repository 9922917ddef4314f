#include "core/record/metrics_cut.h"

#include <fmt/format.h>

#include <fstream>
#include <nlohmann/json.hpp>

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

void cut_metrics(const std::filesystem::path& path, const MetricsCut& cut) {
  if (!std::filesystem::exists(path)) return;
  std::ifstream file(path);
  std::string kept;
  for (std::string line; std::getline(file, line);) {
    if (stays_in_log(line, cut)) kept += line + '\n';
  }
  if (file.bad()) throw RunError(fmt::format("{}: cannot be read", path.string()));
  write_whole_file(path, kept);
}

}  // namespace thaw
