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

/// A score that is no number counts as 0, where lower is better as infinitely bad: nothing was
/// learnt.
double score_of(double value, bool lower_is_better) {
  if (std::isfinite(value)) return value;
  return lower_is_better ? std::numeric_limits<double>::infinity() : 0;
}

/// The figure of an evaluation that counts.
Figure scored_figure(const nlohmann::ordered_json& line, const ScoreMetric& metric,
                     const std::filesystem::path& path) {
  if (metric.name == "loss") return {"loss", figure(line, "loss")};
  const std::vector<Figure> figures = figures_of(line);
  for (const Figure& each : figures) {
    if (metric.name.empty() || each.name == metric.name) return each;
  }
  throw InputError(
      fmt::format("{}: no metric{}{}", path.string(), metric.name.empty() ? "" : " ", metric.name));
}

CurvePoint point_of(const nlohmann::ordered_json& line, double score) {
  return {.samples = figure(line, "trained_samples"),
          .seconds = figure(line, "training_seconds"),
          .flops = figure(line, "training_flops"),
          .loss = figure(line, "loss"),
          .score = score};
}

/// Its curve, and of which metric.
void read_curve(const std::filesystem::path& path, const ScoreMetric& metric, RunRecord& record) {
  InputLines file(path.string());
  for (std::string line; file.next(line);) {
    const auto json = parse_json<nlohmann::ordered_json>(line);
    if (json.at("event") != "evaluation") continue;
    const Figure scored = scored_figure(json, metric, path);
    record.metric = scored.name;
    record.curve.push_back(point_of(json, score_of(scored.value, metric.lower_is_better)));
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
    if (lower_is_better ? point.score <= target : point.score >= target) return point;
  }
  return std::nullopt;
}

RunRecord read_run(const std::filesystem::path& folder, const ScoreMetric& metric) {
  RunRecord record;
  record.lower_is_better = metric.lower_is_better;
  const std::filesystem::path metrics = folder / "metrics.jsonl";
  const std::filesystem::path summary = folder / "summary.json";
  try {
    read_curve(metrics, metric, record);
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
