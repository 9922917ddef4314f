#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "core/base/json_text.h"
#include "launch/compare/html_page.h"
#include "launch/compare/scaling.h"

namespace thaw {
namespace {

using Json = nlohmann::ordered_json;

/// "12.3 ± 0.4", without the interval where one run is all there is.
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

std::string title_of(Scaling scaling) {
  return scaling == Scaling::kWeak ? "Weak scaling: the global batch grows with the ranks"
                                   : "Strong scaling: the same global batch at any number of ranks";
}

std::string note(const ScalingFacts& facts) {
  return fmt::format(
      "Medians over {} steps a stage, after {} of warm-up; means of {} repetitions with 95 % "
      "confidence intervals. Efficiency: samples a second a rank, over those at the fewest ranks. "
      "{}",
      facts.steps, facts.warm_up, facts.repetitions, facts.version);
}

Json estimate_json(const Estimate& estimate) {
  return {{"mean", estimate.mean},
          {"half_width",
           std::isfinite(estimate.half_width) ? Json(estimate.half_width) : Json(nullptr)}};
}

/// Samples a second, with the interval that of the step's time: a slower step is a lower rate.
ChartSeries::Point point(const ScalingRow& row) {
  const Estimate& seconds = row.step_seconds;
  const double spread = std::isfinite(seconds.half_width) ? seconds.half_width : 0;
  const auto rate = [&](double s) { return s > 0 ? static_cast<double>(row.batch) / s : 0; };
  return {static_cast<double>(row.ranks), rate(seconds.mean), rate(seconds.mean + spread),
          rate(std::max(seconds.mean - spread, seconds.mean / 10))};
}

std::string markdown_table(const std::vector<ScalingRow>& rows) {
  std::string text = fmt::format("| {} |\n|", fmt::join(headings(), " | "));
  for (std::size_t i = 0; i < headings().size(); ++i) text += i == 0 ? " --- |" : " ---: |";
  text += "\n";
  for (const ScalingRow& row : rows) text += fmt::format("| {} |\n", fmt::join(cells(row), " | "));
  return text;
}

Json json_of(const ScalingRow& row) {
  return {{"stage", row.stage},
          {"ranks", row.ranks},
          {"batch", row.batch},
          {"step_seconds", estimate_json(row.step_seconds)},
          {"data_seconds", estimate_json(row.data)},
          {"compute_seconds", estimate_json(row.compute)},
          {"communication_seconds", estimate_json(row.communication)},
          {"samples_per_second", row.samples_per_second},
          {"efficiency", row.efficiency}};
}

std::string chart(const std::vector<ScalingRow>& rows) {
  std::vector<ChartSeries> series;
  for (const ScalingRow& row : rows) {
    if (series.empty() || series.back().name != row.stage) series.push_back({row.stage, {}});
    series.back().points.push_back(point(row));
  }
  return line_chart({"Samples a second", "ranks", "samples/s"}, series);
}

}  // namespace

const char* name_of(Scaling scaling) { return scaling == Scaling::kWeak ? "weak" : "strong"; }

std::string scaling_markdown(const ScalingFacts& facts, const std::vector<ScalingTable>& tables) {
  std::string text = fmt::format("# Scaling of {}\n", facts.configuration);
  for (const ScalingTable& table : tables) {
    text += fmt::format("\n## {}\n\n{}", title_of(table.scaling), markdown_table(table.rows));
  }
  return text + "\n" + note(facts) + "\n";
}

std::string scaling_json(const ScalingFacts& facts, const std::vector<ScalingTable>& tables) {
  Json json{{"configuration", facts.configuration},
            {"repetitions", facts.repetitions},
            {"steps", facts.steps},
            {"warm_up", facts.warm_up},
            {"version", facts.version},
            {"tables", Json::array()}};
  for (const ScalingTable& table : tables) {
    Json rows = Json::array();
    for (const ScalingRow& row : table.rows) rows.push_back(json_of(row));
    json["tables"].push_back({{"scaling", name_of(table.scaling)}, {"rows", rows}});
  }
  return json_text(json, 1) + "\n";
}

std::string scaling_page(const ScalingFacts& facts, const std::vector<ScalingTable>& tables) {
  std::string body;
  for (const ScalingTable& table : tables) {
    std::vector<std::vector<std::string>> text = {headings()};
    for (const ScalingRow& row : table.rows) text.push_back(cells(row));
    body += "<h2>" + escape_html(title_of(table.scaling)) + "</h2>\n" + html_table(text) +
            chart(table.rows);
  }
  return html_page("Scaling of " + facts.configuration, body, {note(facts)});
}

}  // namespace thaw
