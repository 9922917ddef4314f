#include "launch/compare/scaling_words.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <set>

namespace thaw {
namespace {

using Json = nlohmann::ordered_json;

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

/// Names of a row's figures whose intervals are wider than they are. Of what is 0, as communication
/// at one rank, there is nothing to say.
std::vector<std::string> wide_figures(const ScalingRow& row) {
  std::vector<std::string> names;
  const auto look = [&](const char* name, const Estimate& estimate) {
    if (estimate.mean > 0 && estimate.half_width > estimate.mean) names.emplace_back(name);
  };
  look("ms a step", row.step_seconds);
  look("data", row.data);
  look("compute", row.compute);
  look("exposed communication", row.communication);
  return names;
}

}  // namespace

std::string milliseconds_text(const Estimate& seconds) {
  std::string text = fmt::format("{:.1f}", 1e3 * seconds.mean);
  if (std::isfinite(seconds.half_width)) text += fmt::format(" ± {:.1f}", 1e3 * seconds.half_width);
  return text;
}

std::string title_of(Scaling scaling) {
  return scaling == Scaling::kWeak ? "Weak scaling: the global batch grows with the ranks"
                                   : "Strong scaling: the same global batch at any number of ranks";
}

std::string scaling_note(const ScalingFacts& facts) {
  const std::string threads =
      facts.threads > 0
          ? fmt::format("Each rank computes with {} thread{}, whatever their number. ",
                        facts.threads, facts.threads == 1 ? "" : "s")
          : "";
  return fmt::format(
      "Medians over {} steps a stage, after {} of warm-up; means of {} repetitions with 95 % "
      "confidence intervals. {}Efficiency: samples a second a rank, over those at the fewest "
      "ranks. {}",
      facts.steps, facts.warm_up, facts.repetitions, threads, facts.version);
}

std::string markdown_table(const std::vector<std::vector<std::string>>& rows) {
  std::string text;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    text += fmt::format("| {} |\n", fmt::join(rows[i], " | "));
    if (i > 0) continue;
    text += "|";
    for (std::size_t column = 0; column < rows[i].size(); ++column) {
      text += column == 0 ? " --- |" : " ---: |";
    }
    text += "\n";
  }
  return text;
}

Json scaling_row_json(const ScalingRow& row) {
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

std::vector<std::string> wide_intervals(const std::vector<ScalingTable>& tables) {
  std::vector<std::string> lines;
  for (const ScalingTable& table : tables) {
    for (const ScalingRow& row : table.rows) {
      const std::vector<std::string> names = wide_figures(row);
      if (names.empty()) continue;
      lines.push_back(fmt::format(
          "{} at {} rank{} ({} scaling): the interval is wider than the mean of {}; more "
          "--repetitions, or a quieter machine, would tell",
          row.stage, row.ranks, row.ranks == 1 ? "" : "s", name_of(table.scaling),
          fmt::join(names, ", ")));
    }
  }
  return lines;
}

ChartSeries measured_series(const std::vector<ScalingRow>& rows, const std::string& stage,
                            std::size_t colour) {
  ChartSeries series{stage, {}, /*dashed=*/false, colour};
  for (const ScalingRow& row : rows) {
    if (row.stage == stage) series.points.push_back(point(row));
  }
  return series;
}

ChartSeries ideal_series(double rate, double first, double last, std::size_t colour,
                         const std::string& name) {
  ChartSeries series{name, {}, /*dashed=*/false, colour};
  series.ideal = true;
  for (const double ranks : {first, last}) {
    series.points.push_back({ranks, rate * ranks, rate * ranks, rate * ranks});
  }
  return series;
}

ChartText scaling_axes(const std::vector<ChartSeries>& series) {
  ChartText text{"Samples a second", "ranks", "samples/s", /*logarithmic=*/true};
  text.logarithmic_x = true;
  std::set<double> ranks;
  for (const ChartSeries& each : series) {
    for (const ChartSeries::Point& point : each.points) ranks.insert(point.x);
  }
  text.ticks_x.assign(ranks.begin(), ranks.end());
  return text;
}

}  // namespace thaw
