#include "core/train/metrics_cut.h"

#include <fmt/format.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "core/base/error.h"

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
  const std::filesystem::path shorter = path.string() + ".partial";
  {
    std::ifstream from(path);
    std::ofstream to(shorter, std::ios::trunc);
    for (std::string line; std::getline(from, line);) {
      if (stays_in_log(line, cut)) to << line << '\n';
    }
    to.flush();
    if (!to || from.bad()) {
      throw RunError(fmt::format("{}: cannot be written; is the disk full?", shorter.string()));
    }
  }
  std::error_code error;
  std::filesystem::rename(shorter, path, error);
  if (error) {
    throw RunError(fmt::format("{}: cannot be cut back: {}", path.string(), error.message()));
  }
}

}  // namespace thaw
