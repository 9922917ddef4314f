#include "core/record/run_record.h"

#include <fmt/format.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "core/base/error.h"

namespace thaw {
namespace {

std::ifstream open(const std::filesystem::path& path) {
  std::ifstream file(path);
  if (!file) throw InputError(fmt::format("{}: cannot be read", path.string()));
  return file;
}

/// Null (not a number) counts as infinitely bad.
double figure(const nlohmann::json& json, const char* key) {
  const nlohmann::json& value = json.at(key);
  return value.is_null() ? std::numeric_limits<double>::infinity() : value.get<double>();
}

CurvePoint point_of(const nlohmann::json& line) {
  return {.samples = figure(line, "trained_samples"),
          .seconds = figure(line, "training_seconds"),
          .flops = figure(line, "training_flops"),
          .loss = figure(line, "loss"),
          .accuracy = figure(line, "accuracy")};
}

std::vector<CurvePoint> read_curve(const std::filesystem::path& path) {
  std::ifstream file = open(path);
  std::vector<CurvePoint> curve;
  for (std::string line; std::getline(file, line);) {
    const nlohmann::json json = nlohmann::json::parse(line);
    if (json.at("event") == "evaluation") curve.push_back(point_of(json));
  }
  if (curve.empty()) {
    throw InputError(fmt::format("{}: no evaluation; schedules are compared on a validation split",
                                 path.string()));
  }
  return curve;
}

}  // namespace

double RunRecord::area() const {
  const double width = curve.back().samples - curve.front().samples;
  if (width <= 0) return curve.back().accuracy;
  double sum = 0;
  for (std::size_t i = 1; i < curve.size(); ++i) {
    sum +=
        (curve[i].accuracy + curve[i - 1].accuracy) / 2 * (curve[i].samples - curve[i - 1].samples);
  }
  return sum / width;
}

std::optional<CurvePoint> RunRecord::reached(double target) const {
  for (const CurvePoint& point : curve) {
    if (point.accuracy >= target) return point;
  }
  return std::nullopt;
}

RunRecord read_run(const std::filesystem::path& folder) {
  RunRecord record;
  const std::filesystem::path metrics = folder / "metrics.jsonl";
  const std::filesystem::path summary = folder / "summary.json";
  try {
    record.curve = read_curve(metrics);
    const nlohmann::json json = nlohmann::json::parse(open(summary));
    for (const nlohmann::json& stage : json.at("stages")) {
      record.samples += figure(stage, "samples");
      record.seconds += figure(stage, "training_seconds");
      record.flops += figure(stage, "flops");
    }
    if (json.contains("retention")) record.forgetting = figure(json["retention"], "forgetting");
  } catch (const nlohmann::json::exception& error) {
    throw InputError(fmt::format("{}: not what a run writes: {}", folder.string(), error.what()));
  }
  return record;
}

}  // namespace thaw
