#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "core/compare/html_page.h"
#include "core/compare/line_chart.h"
#include "core/compare/scaling.h"

namespace thaw {
namespace {

using Json = nlohmann::ordered_json;

std::string milliseconds(const Estimate& seconds) {
  std::string text = fmt::format("{:.1f}", 1e3 * seconds.mean);
  if (std::isfinite(seconds.half_width)) text += fmt::format(" ± {:.1f}", 1e3 * seconds.half_width);
  return text;
}

std::vector<std::string> headings() {
  return {"stage",     "ranks",   "global batch",          "ms a step",
          "data",      "compute", "exposed communication", "samples/s",
          "efficiency"};
}

std::vector<std::string> cells(const ScalingRow& row) {
  return {row.stage,
          fmt::format("{}", row.ranks),
          fmt::format("{}", row.batch),
          milliseconds(row.step_seconds),
          milliseconds(row.data),
          milliseconds(row.compute),
          milliseconds(row.communication),
          fmt::format("{:.1f}", row.samples_per_second),
          fmt::format("{:.2f}", row.efficiency)};
}

std::string note(const ScalingFacts& facts) {
  return fmt::format(
      "{} scaling: the global batch {}. Medians over {} steps a stage, after {} of warm-up; means "
      "of "
      "{} repetitions with 95 % confidence intervals. Efficiency: samples a second a rank, over "
      "those at the fewest ranks. {}",
      facts.weak ? "Weak" : "Strong",
      facts.weak ? "grows with the ranks" : "is the same at any number of ranks", facts.steps,
      facts.warm_up, facts.repetitions, facts.version);
}

Json json_of(const Estimate& estimate) {
  return {{"mean", estimate.mean},
          {"half_width",
           std::isfinite(estimate.half_width) ? Json(estimate.half_width) : Json(nullptr)}};
}

ChartSeries::Point point(const ScalingRow& row) {
  const Estimate& seconds = row.step_seconds;
  const double spread = std::isfinite(seconds.half_width) ? seconds.half_width : 0;
  const auto rate = [&](double s) { return s > 0 ? static_cast<double>(row.batch) / s : 0; };
  return {static_cast<double>(row.ranks), rate(seconds.mean), rate(seconds.mean + spread),
          rate(std::max(seconds.mean - spread, seconds.mean / 10))};
}

}  // namespace

std::string scaling_markdown(const ScalingFacts& facts, const std::vector<ScalingRow>& rows) {
  std::string text = fmt::format("# Scaling of {}\n\n| {} |\n|", facts.configuration,
                                 fmt::join(headings(), " | "));
  for (std::size_t i = 0; i < headings().size(); ++i) text += i == 0 ? " --- |" : " ---: |";
  text += "\n";
  for (const ScalingRow& row : rows) text += fmt::format("| {} |\n", fmt::join(cells(row), " | "));
  return text + "\n" + note(facts) + "\n";
}

std::string scaling_json(const ScalingFacts& facts, const std::vector<ScalingRow>& rows) {
  Json json{{"configuration", facts.configuration},
            {"weak", facts.weak},
            {"repetitions", facts.repetitions},
            {"steps", facts.steps},
            {"warm_up", facts.warm_up},
            {"version", facts.version},
            {"rows", Json::array()}};
  for (const ScalingRow& row : rows) {
    json["rows"].push_back({{"stage", row.stage},
                            {"ranks", row.ranks},
                            {"batch", row.batch},
                            {"step_seconds", json_of(row.step_seconds)},
                            {"data_seconds", json_of(row.data)},
                            {"compute_seconds", json_of(row.compute)},
                            {"communication_seconds", json_of(row.communication)},
                            {"samples_per_second", row.samples_per_second},
                            {"efficiency", row.efficiency}});
  }
  return json.dump(1) + "\n";
}

std::string scaling_page(const ScalingFacts& facts, const std::vector<ScalingRow>& rows) {
  std::vector<ChartSeries> series;
  for (const ScalingRow& row : rows) {
    if (series.empty() || series.back().name != row.stage) series.push_back({row.stage, {}});
    series.back().points.push_back(point(row));
  }
  std::vector<std::vector<std::string>> table = {headings()};
  for (const ScalingRow& row : rows) table.push_back(cells(row));
  return html_page(
      "Scaling of " + facts.configuration,
      html_table(table) + line_chart({"Samples a second", "ranks", "samples/s"}, series),
      {note(facts)});
}

}  // namespace thaw
