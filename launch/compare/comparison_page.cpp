#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <set>

#include "launch/compare/comparison_text.h"
#include "launch/compare/html_page.h"
#include "launch/compare/verdict.h"

namespace thaw {
namespace {

/// What a curve is drawn over: samples, operations or seconds.
using Axis = double CurvePoint::*;

/// The score where a run's curve passes `x`: between two evaluations, on the line between them.
double score_at(const RunRecord& run, Axis axis, double x) {
  const auto after = std::find_if(run.curve.begin(), run.curve.end(),
                                  [&](const CurvePoint& point) { return point.*axis >= x; });
  if (after == run.curve.begin()) return after->score;
  if (after == run.curve.end()) return run.curve.back().score;
  const CurvePoint& before = *(after - 1);
  const double width = (*after).*axis - before.*axis;
  const double share = width > 0 ? (x - before.*axis) / width : 1;
  return before.score + share * (after->score - before.score);
}

/// The mean over seeds, and their range, from where all curves have begun to where one ends.
ChartSeries series_of(const std::string& schedule, const std::vector<const RunRecord*>& runs,
                      Axis axis) {
  double first = 0;
  double last = std::numeric_limits<double>::infinity();
  std::set<double> places;
  for (const RunRecord* run : runs) {
    first = std::max(first, run->curve.front().*axis);
    last = std::min(last, run->curve.back().*axis);
    for (const CurvePoint& point : run->curve) places.insert(point.*axis);
  }
  ChartSeries series{schedule, {}};
  for (const double x : places) {
    if (x < first || x > last) continue;
    ChartSeries::Point point{x, 0, 1, 0};
    for (const RunRecord* run : runs) {
      const double score = score_at(*run, axis, x);
      point.y += score / static_cast<double>(runs.size());
      point.low = std::min(point.low, score);
      point.high = std::max(point.high, score);
    }
    series.points.push_back(point);
  }
  return series;
}

/// One chart with a line a schedule.
std::string chart(const FractionTable& table, Axis axis, const std::string& unit,
                  const std::string& metric) {
  std::vector<ChartSeries> series;
  for (const ScheduleRow& row : table.rows) {
    std::vector<const RunRecord*> runs;
    for (const RunRecord& run : table.runs) {
      if (run.schedule == row.schedule) runs.push_back(&run);
    }
    series.push_back(series_of(row.schedule, runs, axis));
  }
  return line_chart({fmt::format("Validation {} over {}", metric, unit), unit, metric}, series);
}

/// The tables and charts of one fraction of the training data.
std::string section(const Comparison& comparison, const FractionTable& table) {
  const std::string& metric = comparison.facts.metric;
  std::vector<std::vector<std::string>> rows = {row_headings(comparison)};
  for (const ScheduleRow& row : table.rows) rows.push_back(row_cells(comparison, row));
  std::string html =
      fmt::format("<section><h2>{:g} % of the training data</h2>\n<p>Target {} {:.4f}</p>\n",
                  100 * table.fraction, metric, table.target) +
      html_table(rows);
  if (!table.differences.empty()) {
    rows = {difference_headings(comparison)};
    for (const Difference& each : table.differences) {
      rows.push_back(difference_cells(each));
    }
    html += html_table(rows);
    html += "<p>" + escape_html(verdict_of(comparison.facts, table).words) + "</p>\n";
  }
  html += chart(table, &CurvePoint::samples, "samples trained on", metric);
  html += chart(table, &CurvePoint::flops, "floating-point operations", metric);
  if (comparison.facts.timed)
    html += chart(table, &CurvePoint::seconds, "seconds of training", metric);
  return html + "</section>\n";
}

}  // namespace

std::string comparison_page(const Comparison& comparison) {
  std::string body;
  for (const FractionTable& table : comparison.fractions) body += section(comparison, table);
  return html_page("Schedules compared: " + comparison.facts.configuration, body,
                   comparison_notes(comparison));
}

}  // namespace thaw
