#include "core/compare/comparison_page.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <set>

#include "core/compare/comparison_text.h"
#include "core/compare/line_chart.h"

namespace thaw {
namespace {

using Axis = double CurvePoint::*;

/// The accuracy where a run's curve passes `x`: between two evaluations, on the line between them.
double accuracy_at(const RunRecord& run, Axis axis, double x) {
  const auto after = std::find_if(run.curve.begin(), run.curve.end(),
                                  [&](const CurvePoint& point) { return point.*axis >= x; });
  if (after == run.curve.begin()) return after->accuracy;
  if (after == run.curve.end()) return run.curve.back().accuracy;
  const CurvePoint& before = *(after - 1);
  const double width = (*after).*axis - before.*axis;
  const double share = width > 0 ? (x - before.*axis) / width : 1;
  return before.accuracy + share * (after->accuracy - before.accuracy);
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
      const double accuracy = accuracy_at(*run, axis, x);
      point.y += accuracy / static_cast<double>(runs.size());
      point.low = std::min(point.low, accuracy);
      point.high = std::max(point.high, accuracy);
    }
    series.points.push_back(point);
  }
  return series;
}

std::string chart(const FractionTable& table, Axis axis, const std::string& unit) {
  std::vector<ChartSeries> series;
  for (const ScheduleRow& row : table.rows) {
    std::vector<const RunRecord*> runs;
    for (const RunRecord& run : table.runs) {
      if (run.schedule == row.schedule) runs.push_back(&run);
    }
    series.push_back(series_of(row.schedule, runs, axis));
  }
  return line_chart({"Validation accuracy over " + unit, unit, "accuracy"}, series);
}

std::string table_row(const std::vector<std::string>& cells, const char* tag) {
  std::string row = "<tr>";
  for (const std::string& each : cells)
    row += fmt::format("<{0}>{1}</{0}>", tag, escape_html(each));
  return row + "</tr>\n";
}

std::string section(const Comparison& comparison, const FractionTable& table) {
  std::string html = fmt::format(
      "<section><h2>{:g} % of the training data</h2>\n<p>Target accuracy {:.4f}</p>\n"
      "<div class=\"wide\"><table>\n",
      100 * table.fraction, table.target);
  html += table_row(row_headings(comparison), "th");
  for (const ScheduleRow& row : table.rows) {
    html += table_row(row_cells(comparison, table, row), "td");
  }
  html += "</table></div>\n";
  if (!table.differences.empty()) {
    html += "<div class=\"wide\"><table>\n" + table_row(difference_headings(), "th");
    for (const Difference& difference : table.differences) {
      html += table_row(difference_cells(comparison, difference), "td");
    }
    html += "</table></div>\n";
  }
  html += chart(table, &CurvePoint::samples, "samples trained on");
  html += chart(table, &CurvePoint::flops, "floating-point operations");
  if (comparison.facts.timed) html += chart(table, &CurvePoint::seconds, "seconds of training");
  return html + "</section>\n";
}

}  // namespace

std::string comparison_page(const Comparison& comparison) {
  std::string html = fmt::format(
      "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
      "<title>{0}: schedules compared</title>\n<style>\n"
      ":root {{ color-scheme: light dark; }}\n"
      "body {{ font: 15px/1.5 system-ui, sans-serif; max-width: 1100px; margin: 2rem auto; "
      "padding: 0 1rem; }}\n"
      ".wide {{ overflow-x: auto; margin: 1rem 0; }}\n"
      "table {{ border-collapse: collapse; font-variant-numeric: tabular-nums; }}\n"
      "th, td {{ text-align: right; padding: .3rem .7rem; border-bottom: 1px solid "
      "color-mix(in srgb, currentColor 20%, transparent); white-space: nowrap; }}\n"
      "th:first-child, td:first-child {{ text-align: left; }}\n{1}</style></head>\n"
      "<body><h1>Schedules compared</h1>\n<p>{0}</p>\n",
      escape_html(comparison.facts.configuration), chart_css());
  for (const FractionTable& table : comparison.fractions) html += section(comparison, table);
  html += "<ul>\n";
  for (const std::string& note : comparison_notes(comparison)) {
    html += "<li>" + escape_html(note) + "</li>\n";
  }
  return html + "</ul></body></html>\n";
}

}  // namespace thaw
