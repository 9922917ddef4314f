#include "launch/report/report_charts.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "core/record/number_text.h"
#include "launch/compare/html_page.h"
#include "launch/terminal/text_table.h"

namespace thaw {
namespace {

constexpr std::size_t kMostChartPoints = 600;
constexpr std::size_t kMostColumns = 60;  // of a map: more could not be told apart

ChartSeries series_of(const std::string& name, const ReportCurve& curve, std::size_t colour,
                      bool dashed = false) {
  ChartSeries series{.name = name, .points = {}, .dashed = dashed, .colour = colour};
  const ReportCurve few = thinned(curve, kMostChartPoints);
  for (std::size_t i = 0; i < few.x.size(); ++i) {
    series.points.push_back({few.x[i], few.y[i], few.y[i], few.y[i]});
  }
  return series;
}

ChartMarks marks_of(const std::vector<ReportRun>& runs) {
  ChartMarks marks;
  if (runs.size() != 1) return marks;
  for (const ReportStage& stage : runs[0].stages) {
    marks.bands.push_back(
        {static_cast<double>(stage.first_step), static_cast<double>(stage.last_step), stage.name});
  }
  for (const ReportResume& resume : runs[0].resumes) {
    marks.lines.push_back(
        {static_cast<double>(resume.step), fmt::format("went on after step {}", resume.step)});
  }
  return marks;
}

/// "loss" of one run, "loss, NAME" of several.
std::string label(const std::vector<ReportRun>& runs, const ReportRun& run,
                  const std::string& what) {
  return runs.size() == 1 ? what : fmt::format("{}: {}", run.name, what);
}

const ReportCurve* metric_of(const ReportRun& run, const std::string& name) {
  const auto found = std::find_if(run.validation.begin(), run.validation.end(),
                                  [&](const auto& each) { return each.first == name; });
  return found == run.validation.end() ? nullptr : &found->second;
}

bool has_points(const std::vector<ChartSeries>& series) {
  return std::any_of(series.begin(), series.end(),
                     [](const ChartSeries& each) { return !each.points.empty(); });
}

bool same(const ReportCurve& a, const ReportCurve& b) { return a.x == b.x && a.y == b.y; }

/// The evaluations that a map has columns for: all, or as many evenly spread, the last among them.
std::vector<std::size_t> columns_of_map(std::size_t points) {
  std::vector<std::size_t> columns;
  const std::size_t count = std::min(points, kMostColumns);
  for (std::size_t i = 1; i <= count; ++i) columns.push_back(i * points / count - 1);
  return columns;
}

double largest_move(const ReportRun& run) {
  double most = 0;
  for (const auto& [name, points] : run.groups) {
    for (const GroupPoint& point : points) {
      const double moved = point.moved.value_or(0);
      if (std::isfinite(moved)) most = std::max(most, moved);
    }
  }
  return most;
}

/// Of classes that are too many for a table of all.
std::string mistakes_table(const ReportRun& run) {
  if (run.mistakes.empty()) return "";
  std::vector<std::vector<std::string>> rows = {{"class", "said to be", "samples"}};
  for (const ReportMistake& each : run.mistakes) {
    rows.push_back({each.of, each.said, with_commas(each.samples)});
  }
  return fmt::format("<p>Most often taken for another, at step {}:</p>\n", run.confusion_step) +
         html_table(rows);
}

}  // namespace

std::string loss_chart(const std::vector<ReportRun>& runs) {
  std::vector<ChartSeries> series;
  for (std::size_t r = 0; r < runs.size(); ++r) {
    const bool alone = runs.size() == 1;
    series.push_back(series_of(label(runs, runs[r], "training"), runs[r].train_loss, alone ? 1 : r,
                               /*dashed=*/true));
    if (const ReportCurve* loss = metric_of(runs[r], "loss")) {
      series.push_back(series_of(label(runs, runs[r], "validation"), *loss, alone ? 0 : r));
    }
  }
  if (!has_points(series)) return "";
  return line_chart({"Loss", "step", "loss"}, series, marks_of(runs));
}

std::string metric_charts(const std::vector<ReportRun>& runs) {
  std::vector<std::string> names;  // in the order of the first run that has each
  for (const ReportRun& run : runs) {
    for (const auto& [name, curve] : run.validation) {
      if (name != "loss" && std::find(names.begin(), names.end(), name) == names.end()) {
        names.push_back(name);
      }
    }
  }
  std::string html;
  for (const std::string& name : names) {
    std::vector<ChartSeries> series;
    for (std::size_t r = 0; r < runs.size(); ++r) {
      if (const ReportCurve* curve = metric_of(runs[r], name)) {
        series.push_back(series_of(label(runs, runs[r], "validation"), *curve, r));
      }
    }
    html += line_chart({fmt::format("Validation {}", name), "step", name}, series, marks_of(runs));
  }
  return html;
}

std::string speed_chart(const std::vector<ReportRun>& runs) {
  std::vector<ChartSeries> series;
  for (std::size_t r = 0; r < runs.size(); ++r) {
    series.push_back(series_of(label(runs, runs[r], "samples/s"), runs[r].samples_per_second, r));
  }
  if (!has_points(series)) return "";
  return line_chart({"Samples a second", "step", "samples/s"}, series, marks_of(runs));
}

std::string rate_chart(const ReportRun& run) {
  std::vector<ChartSeries> series;
  const ReportCurve* last = nullptr;
  std::string first_name;
  for (const auto& [group, curve] : run.rates) {
    if (last != nullptr && same(*last, curve)) {
      series.back().name = first_name + " … " + group;
      continue;
    }
    series.push_back(series_of(group, curve, series.size()));
    last = &curve;
    first_name = group;
  }
  if (!has_points(series)) return "";
  return line_chart({"Learning rates", "step", "learning rate", /*logarithmic=*/true}, series,
                    marks_of({run}));
}

std::string moved_map(const ReportRun& run) {
  const double most = largest_move(run);
  if (run.groups.empty()) return "";
  constexpr double kRow = 22, kNames = 150, kWidth = 760, kTop = 8;
  const double height = kTop + kRow * static_cast<double>(run.groups.size()) + 24;
  std::string svg = fmt::format(
      "<div class=\"wide\"><svg viewBox=\"0 0 {:.0f} {:.0f}\" role=\"img\" aria-label=\"Weights "
      "moved by "
      "group over time\">\n",
      kWidth, height);
  std::size_t row = run.groups.size();
  for (const auto& [name, points] : run.groups) {
    const double y = kTop + kRow * static_cast<double>(--row);
    svg += fmt::format(
        "<text class=\"tick\" x=\"{:.0f}\" y=\"{:.1f}\" text-anchor=\"end\">{}</text>\n",
        kNames - 8, y + kRow - 7, escape_html(name));
    const std::vector<std::size_t> columns = columns_of_map(points.size());
    const double width =
        (kWidth - kNames - 8) / static_cast<double>(std::max<std::size_t>(columns.size(), 1));
    for (std::size_t c = 0; c < columns.size(); ++c) {
      const GroupPoint& point = points[columns[c]];
      const bool known = point.moved && std::isfinite(*point.moved);
      svg += fmt::format(
          "<rect class=\"{}\" x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{:.1f}\" "
          "fill-opacity=\"{:.3f}\"><title>{} at step {}: {}</title></rect>",
          known ? "heat" : "unknown", kNames + width * static_cast<double>(c), y,
          std::max(width - 1, 0.5), kRow - 2, known && most > 0 ? *point.moved / most : 0.0,
          escape_html(name), point.step,
          known ? fmt::format("moved {}", number_text(*point.moved)) : "not known");
    }
  }
  const auto& points = run.groups.front().second;
  svg += fmt::format(
      "\n<text class=\"tick\" x=\"{:.0f}\" y=\"{:.1f}\">step {}</text>"
      "<text class=\"tick\" x=\"{:.0f}\" y=\"{:.1f}\" text-anchor=\"end\">step {}; darkest: "
      "{}</text>\n",
      kNames, height - 6, points.front().step, kWidth - 8, height - 6, points.back().step,
      number_text(most));
  return svg + "</svg></div>\n";
}

std::string time_table(const ReportRun& run) {
  double all = 0;
  for (const auto& [what, seconds] : run.times) all += seconds;
  if (all <= 0) return "";
  std::string html =
      "<div class=\"wide\"><table class=\"times\">\n<tr><th>what</th><th>time</th><th>share</th>"
      "<th></th></tr>\n";
  for (const auto& [what, seconds] : run.times) {
    const double share = 100 * seconds / all;
    html += fmt::format(
        "<tr><td>{}</td><td>{}</td><td>{:.1f} %</td><td class=\"bar\"><i "
        "style=\"width:{:.1f}%\"></i>"
        "</td></tr>\n",
        escape_html(what), seconds < 10 ? fmt::format("{:.2f} s", seconds) : clock_text(seconds),
        share, share);
  }
  return html + "</table></div>\n";
}

std::string confusion_table(const ReportRun& run) {
  if (run.confusion.empty()) return mistakes_table(run);
  std::string html = fmt::format(
      "<p>At step {}: a row is a true class, a column what was said.</p>\n<div "
      "class=\"wide\"><table "
      "class=\"confusion\">\n<tr><th></th>",
      run.confusion_step);
  for (const std::string& name : run.classes) html += "<th>" + escape_html(name) + "</th>";
  html += "</tr>\n";
  for (std::size_t row = 0; row < run.confusion.size(); ++row) {
    double sum = 0;
    for (const double count : run.confusion[row]) sum += count;
    html += fmt::format("<tr><th>{}</th>",
                        row < run.classes.size() ? escape_html(run.classes[row]) : "");
    for (std::size_t column = 0; column < run.confusion[row].size(); ++column) {
      const double count = run.confusion[row][column];
      html += fmt::format("<td class=\"{}\" style=\"--p:{:.0f}%\">{:.0f}</td>",
                          row == column ? "hit" : "miss", sum > 0 ? 70 * count / sum : 0, count);
    }
    html += "</tr>\n";
  }
  return html + "</table></div>\n";
}

std::string report_css() {
  return ".heat { fill: #0072b2; stroke: currentColor; stroke-opacity: .15; }\n"
         ".unknown { fill: none; stroke: currentColor; stroke-opacity: .3; stroke-dasharray: 2 2; "
         "}\n"
         ".bar { width: 12rem; min-width: 6rem; } .bar i { display: block; height: .8rem; "
         "background: #0072b2; }\n"
         ".confusion td { background: color-mix(in srgb, var(--c) var(--p), transparent); }\n"
         ".hit { --c: #009e73; } .miss { --c: #d55e00; }\n"
         ".verdict { border-left: 4px solid #0072b2; padding: .3rem .8rem; }\n"
         ".problem { border-left: 4px solid #d55e00; padding: .3rem .8rem; }\n"
         "pre { white-space: pre-wrap; overflow-wrap: anywhere; } p, li, td, th, h1, h2, h3 { "
         "overflow-wrap: anywhere; }\n"
         "@media (prefers-color-scheme: dark) { .heat { fill: #56b4e9; } .bar i { background: "
         "#56b4e9; } }\n";
}

}  // namespace thaw
