#include "core/record/run_record.h"

#include <fmt/format.h>

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "core/base/error.h"
#include "core/base/input_text.h"
#include "core/base/json_text.h"
#include "core/record/report_json.h"

namespace thaw {
namespace {

constexpr std::int64_t kLongestSummary = 64 << 20;

/// Null (not a number) counts as infinitely bad.
double figure(const nlohmann::json& json, const char* key) {
  const nlohmann::json& value = json.at(key);
  return value.is_null() ? std::numeric_limits<double>::infinity() : value.get<double>();
}

/// A score that is no number counts as 0: nothing was learnt.
double score_of(const Figure& figure) { return std::isfinite(figure.value) ? figure.value : 0; }

CurvePoint point_of(const nlohmann::ordered_json& line, const Figure& first) {
  return {.samples = figure(line, "trained_samples"),
          .seconds = figure(line, "training_seconds"),
          .flops = figure(line, "training_flops"),
          .loss = figure(line, "loss"),
          .score = score_of(first)};
}

/// Its curve, and of which metric.
void read_curve(const std::filesystem::path& path, RunRecord& record) {
  InputLines file(path.string());
  for (std::string line; file.next(line);) {
    const auto json = parse_json<nlohmann::ordered_json>(line);
    if (json.at("event") != "evaluation") continue;
    const std::vector<Figure> figures = figures_of(json);
    if (figures.empty()) throw InputError(fmt::format("{}: no metric", path.string()));
    record.metric = figures.front().name;
    record.curve.push_back(point_of(json, figures.front()));
  }
  if (record.curve.empty()) {
    throw InputError(fmt::format("{}: no evaluation; schedules are compared on a validation split",
                                 path.string()));
  }
}

}  // namespace

double RunRecord::area() const {
  const double width = curve.back().samples - curve.front().samples;
  if (width <= 0) return curve.back().score;
  double sum = 0;
  for (std::size_t i = 1; i < curve.size(); ++i) {
    sum += (curve[i].score + curve[i - 1].score) / 2 * (curve[i].samples - curve[i - 1].samples);
  }
  return sum / width;
}

std::optional<CurvePoint> RunRecord::reached(double target) const {
  for (const CurvePoint& point : curve) {
    if (point.score >= target) return point;
  }
  return std::nullopt;
}

RunRecord read_run(const std::filesystem::path& folder) {
  RunRecord record;
  const std::filesystem::path metrics = folder / "metrics.jsonl";
  const std::filesystem::path summary = folder / "summary.json";
  try {
    read_curve(metrics, record);
    const auto json = read_json_object<nlohmann::ordered_json>(summary.string(), kLongestSummary,
                                                               "a run's summary.json");
    for (const nlohmann::ordered_json& stage : json.at("stages")) {
      record.samples += figure(stage, "samples");
      record.seconds += figure(stage, "training_seconds");
      record.flops += figure(stage, "flops");
    }
    if (json.contains("retention")) {
      const nlohmann::ordered_json& forgetting = json.at("retention");
      record.forgetting = figure(forgetting, "forgetting");
      record.forgetting_metric = figures_of(forgetting.at("before")).at(0).name;
    }
  } catch (const nlohmann::ordered_json::exception& error) {
    throw InputError(fmt::format("{}: not what a run writes: {}", folder.string(), error.what()));
  }
  return record;
}

}  // namespace thaw
