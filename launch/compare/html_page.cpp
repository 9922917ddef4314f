#include "launch/compare/html_page.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <utility>

#include "core/record/number_text.h"

namespace thaw {
namespace {

std::string table_row(const std::vector<std::string>& cells, const char* tag) {
  std::string row = "<tr>";
  for (const std::string& each : cells)
    row += fmt::format("<{0}>{1}</{0}>", tag, escape_html(each));
  return row + "</tr>\n";
}

constexpr const char* kStyle =
    ":root { color-scheme: light dark; }\n"
    "body { font: 15px/1.5 system-ui, sans-serif; max-width: 1100px; margin: 2rem auto; "
    "padding: 0 1rem; }\n"
    ".wide { overflow-x: auto; margin: 1rem 0; }\n"
    "table { border-collapse: collapse; font-variant-numeric: tabular-nums; }\n"
    "th, td { text-align: right; padding: .3rem .7rem; white-space: nowrap; border-bottom: "
    "1px solid color-mix(in srgb, currentColor 20%, transparent); }\n"
    "th:first-child, td:first-child { text-align: left; }\n";

// All in the SVG's own units, which the page scales to its width.
constexpr double kWidth = 760, kHeight = 360;
constexpr double kLeft = 72, kRight = 16, kTop = 40, kBottom = 84;

/// Of the values that are to be shown; those that are no numbers do not count.
struct Range {
  double low = std::numeric_limits<double>::infinity();
  double high = -std::numeric_limits<double>::infinity();
  void add(double value) {
    if (!std::isfinite(value)) return;
    low = std::min(low, value);
    high = std::max(high, value);
  }
};

/// 1, 2 or 5 times a power of ten: about `count` of them fill `span`.
double tick_step(double span, int count) {
  const double raw = span / count;
  const double power = std::pow(10, std::floor(std::log10(raw)));
  for (const double factor : {1.0, 2.0, 5.0}) {
    if (factor * power >= raw) return factor * power;
  }
  return 10 * power;
}

/// Where values lie in the picture, and the grid with its numbers.
class Axes {
 public:
  Axes(Range x, Range y, const ChartText& text) : x_(x), y_(y), text_(text) {
    widen(x_);
    widen(y_);
    const double margin = 0.04 * (y_.high - y_.low);
    y_.low -= margin;
    y_.high += margin;
  }
  /// NaN, as of y, for what is not to be shown.
  double x(double value) const { return width(text_.logarithmic_x ? std::log2(value) : value); }
  double width(double value) const {
    return kLeft + (value - x_.low) / (x_.high - x_.low) * (kWidth - kLeft - kRight);
  }
  double y(double value) const { return height(text_.logarithmic ? std::log10(value) : value); }
  double height(double value) const {
    return kHeight - kBottom - (value - y_.low) / (y_.high - y_.low) * (kHeight - kTop - kBottom);
  }

  std::string svg() const {
    std::string svg;
    const double step_y = tick_step(y_.high - y_.low, 5);
    for (double v = std::ceil(y_.low / step_y) * step_y; v <= y_.high; v += step_y) {
      svg += fmt::format(
          "<line class=\"grid\" x1=\"{:.1f}\" x2=\"{:.1f}\" y1=\"{:.1f}\" y2=\"{:.1f}\"/>"
          "<text class=\"tick\" x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"end\">{}</text>\n",
          kLeft, kWidth - kRight, height(v), height(v), kLeft - 8, height(v) + 4,
          number_text(text_.logarithmic     ? std::pow(10, v)
                      : std::abs(v) < 1e-12 ? 0
                                            : v,
                      text_.logarithmic ? 2 : 4));
    }
    return svg + x_numbers();
  }

 private:
  /// Where the chart's text says, or else at round numbers.
  std::string x_numbers() const {
    constexpr double kLeastDistance = 28;
    std::vector<double> ticks = text_.ticks_x;
    const double step = tick_step(x_.high - x_.low, 6);
    for (double v = std::ceil(x_.low / step) * step; text_.ticks_x.empty() && v <= x_.high;
         v += step) {
      ticks.push_back(std::abs(v) < 1e-300 ? 0 : v);
    }
    std::string svg;
    double last = -kWidth;
    for (const double tick : ticks) {
      if (!(x(tick) - last >= kLeastDistance)) continue;
      last = x(tick);
      svg += fmt::format(
          "<text class=\"tick\" x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"middle\">{}</text>\n", last,
          kHeight - kBottom + 18, number_text(tick));
    }
    return svg;
  }

  static void widen(Range& range) {
    if (!(range.low <= range.high)) range = {0, 1};
    if (range.low == range.high) {
      const double half = range.low == 0 ? 1 : std::abs(range.low) / 2;
      range = {range.low - half, range.high + half};
    }
  }

  Range x_, y_;
  const ChartText& text_;
};

/// The line of a series, as SVG's path data.
std::string path_of(const ChartSeries& series, const Axes& axes) {
  std::string path;
  bool begins = true;
  for (const ChartSeries::Point& point : series.points) {
    const double x = axes.x(point.x), y = axes.y(point.y);
    const bool shown = std::isfinite(x) && std::isfinite(y);
    if (shown) path += fmt::format("{}{:.1f} {:.1f} ", begins ? "M" : "L", x, y);
    begins = !shown;
  }
  return path;
}

/// The area between its lowest and highest values, as a polygon's points.
std::string band_of(const ChartSeries& series, const Axes& axes) {
  std::string forth, back;
  for (const ChartSeries::Point& point : series.points) {
    forth += fmt::format("{:.1f},{:.1f} ", axes.x(point.x), axes.y(point.high));
    back = fmt::format("{:.1f},{:.1f} ", axes.x(point.x), axes.y(point.low)) + back;
  }
  return forth + back;
}

constexpr std::size_t kMostTooltips = 120;

std::size_t colour_of(const ChartSeries& series, std::size_t number) {
  return (series.colour == ChartSeries::kOwnColour ? number : series.colour) % kChartColours;
}

/// Behind the lines: bands in turn lighter and darker, and upright lines.
std::string marks_svg(const ChartMarks& marks, const Axes& axes) {
  constexpr double kLetter = 6.5;
  std::string svg;
  for (std::size_t i = 0; i < marks.bands.size(); ++i) {
    const ChartMarks::Band& band = marks.bands[i];
    const double x = axes.x(band.first);
    const double width = std::max(0.0, axes.x(band.last) - x);
    const std::string name = escape_html(band.name);
    svg += fmt::format(
        "<rect class=\"stage stage-{}\" x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" "
        "height=\"{:.1f}\"><title>{}</title></rect>",
        i % 2, x, kTop, width, kHeight - kBottom - kTop, name);
    if (kLetter * static_cast<double>(band.name.size()) < width) {
      svg += fmt::format("<text class=\"tick\" x=\"{:.1f}\" y=\"{:.1f}\">{}</text>\n", x + 4,
                         kTop + 14, name);
    }
  }
  for (const ChartMarks::Line& line : marks.lines) {
    svg += fmt::format(
        "<line class=\"mark\" x1=\"{0:.1f}\" x2=\"{0:.1f}\" y1=\"{1:.1f}\" y2=\"{2:.1f}\">"
        "<title>{3}</title></line>\n",
        axes.x(line.x), kTop, kHeight - kBottom, escape_html(line.name));
  }
  return svg;
}

/// Further classes of its line.
const char* line_kind(const ChartSeries& series) {
  if (series.ideal) return " ideal";
  return series.dashed ? " dashed" : "";
}

std::string series_svg(const ChartSeries& series, std::size_t number, const Axes& axes) {
  const bool has_band =
      std::any_of(series.points.begin(), series.points.end(),
                  [](const ChartSeries::Point& point) { return point.low != point.high; });
  std::string svg = fmt::format(
      "<g class=\"series-{}\">{}<path class=\"line{}\" d=\"{}\"/>\n", colour_of(series, number),
      has_band ? fmt::format("<polygon class=\"band\" points=\"{}\"/>", band_of(series, axes)) : "",
      line_kind(series), path_of(series, axes));
  if (series.ideal || series.points.size() > kMostTooltips) return svg + "</g>\n";
  for (const ChartSeries::Point& point : series.points) {
    if (!std::isfinite(axes.x(point.x)) || !std::isfinite(axes.y(point.y))) continue;
    svg += fmt::format(
        "<circle{} cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"3\"><title>{}: {} at {}</title></circle>",
        series.hollow ? " class=\"hollow\"" : "", axes.x(point.x), axes.y(point.y),
        escape_html(series.name), number_text(point.y), number_text(point.x));
  }
  return svg + "</g>\n";
}

constexpr double kLegendRow = 18;

/// Names in rows below the axes, at widths guessed from their letters: SVG knows no flow. Returns
/// the height that they take too.
std::pair<std::string, double> legend_svg(const std::vector<ChartSeries>& series) {
  std::string svg;
  double x = kLeft, y = kHeight - 16;
  for (std::size_t i = 0; i < series.size(); ++i) {
    if (series[i].ideal && series[i].name.empty()) continue;
    const double width = 28 + 8.0 * static_cast<double>(series[i].name.size()) + 24;
    if (x > kLeft && x + width > kWidth) {
      x = kLeft;
      y += kLegendRow;
    }
    svg += fmt::format(
        "<g class=\"series-{}\"><line class=\"line{}\" x1=\"{:.0f}\" x2=\"{:.0f}\" y1=\"{:.0f}\" "
        "y2=\"{:.0f}\"/></g><text class=\"legend\" x=\"{:.0f}\" y=\"{:.0f}\">{}</text>\n",
        colour_of(series[i], i), line_kind(series[i]), x, x + 22, y, y, x + 28, y + 4,
        escape_html(series[i].name));
    x += width;
  }
  return {svg, y - (kHeight - 16)};
}

}  // namespace

std::string escape_html(const std::string& text) {
  std::string escaped;
  for (const char c : text) {
    switch (c) {
      case '&':
        escaped += "&amp;";
        break;
      case '<':
        escaped += "&lt;";
        break;
      case '>':
        escaped += "&gt;";
        break;
      case '"':
        escaped += "&quot;";
        break;
      default:
        escaped += c;
    }
  }
  return escaped;
}

std::string html_table(const std::vector<std::vector<std::string>>& rows) {
  std::string html = "<div class=\"wide\"><table>\n";
  for (std::size_t i = 0; i < rows.size(); ++i) html += table_row(rows[i], i == 0 ? "th" : "td");
  return html + "</table></div>\n";
}

std::string html_page(const std::string& title, const std::string& body,
                      const std::vector<std::string>& notes) {
  std::string html = fmt::format(
      "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
      "<title>{0}</title>\n<style>\n{1}{2}</style></head>\n<body><h1>{0}</h1>\n{3}<ul>\n",
      escape_html(title), kStyle, chart_css(), body);
  for (const std::string& note : notes) html += "<li>" + escape_html(note) + "</li>\n";
  return html + "</ul></body></html>\n";
}

std::string line_chart(const ChartText& text, const std::vector<ChartSeries>& series,
                       const ChartMarks& marks) {
  Range x, y;
  const auto shown = [&](double value) { return text.logarithmic ? std::log10(value) : value; };
  const auto shown_x = [&](double value) { return text.logarithmic_x ? std::log2(value) : value; };
  for (const ChartSeries& each : series) {
    for (const ChartSeries::Point& point : each.points) {
      x.add(shown_x(point.x));
      y.add(shown(point.y));
      if (point.low == point.high) continue;
      y.add(shown(point.low));
      y.add(shown(point.high));
    }
  }
  for (const ChartMarks::Band& band : marks.bands) {
    x.add(shown_x(band.first));
    x.add(shown_x(band.last));
  }
  const Axes axes(x, y, text);
  const auto [legend, more] = legend_svg(series);
  std::string svg = fmt::format(
      "<div class=\"wide\"><svg viewBox=\"0 0 {0:.0f} {1:.0f}\" role=\"img\" aria-label=\"{2}\">\n"
      "<text class=\"title\" x=\"{3:.0f}\" y=\"20\">{2}</text>\n"
      "<text class=\"tick\" x=\"{4:.0f}\" y=\"{5:.0f}\" text-anchor=\"middle\">{6}</text>\n"
      "<text class=\"tick axis\" transform=\"translate(14 {7:.0f}) rotate(-90)\" "
      "text-anchor=\"middle\">{8}</text>\n",
      kWidth, kHeight + more, escape_html(text.title), kLeft, (kLeft + kWidth - kRight) / 2,
      kHeight - kBottom + 38, escape_html(text.x), (kTop + kHeight - kBottom) / 2,
      escape_html(text.y));
  svg += marks_svg(marks, axes) + axes.svg();
  for (std::size_t i = 0; i < series.size(); ++i) svg += series_svg(series[i], i, axes);
  return svg + legend + "</svg></div>\n";
}

std::string chart_css() {
  // Okabe and Ito's palette, which people of any colour vision tell apart; lighter on dark.
  constexpr std::array<const char*, kChartColours> light = {
      "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#8a6d00", "#56b4e9", "#6e6e6e", "#7a4fbf"};
  constexpr std::array<const char*, kChartColours> dark = {
      "#56b4e9", "#f0894a", "#35c79a", "#e8a5c8", "#e0c34a", "#9bd3f5", "#b5b5b5", "#b79aef"};
  std::string css =
      "svg { width: 100%; max-width: 760px; height: auto; display: block; }\n"
      ".stage { fill: currentColor; opacity: .04; } .stage-1 { opacity: .1; }\n"
      ".mark { stroke: currentColor; opacity: .5; stroke-dasharray: 2 3; }\n"
      ".dashed { stroke-dasharray: 5 3; stroke-width: 1.5; }\n"
      ".ideal { stroke-dasharray: 1 4; stroke-width: 1; opacity: .7; }\n"
      ".grid { stroke: currentColor; opacity: .15; }\n"
      ".tick, .legend { fill: currentColor; font-size: 12px; }\n"
      ".title { fill: currentColor; font-size: 14px; font-weight: 600; }\n"
      ".line { fill: none; stroke: var(--c); stroke-width: 2; }\n"
      ".band { fill: var(--c); opacity: .15; }\ncircle { fill: var(--c); }\n"
      ".hollow { fill: none; stroke: var(--c); stroke-width: 1.5; }\n"
      // A chart is shown whole on a small screen too, with its words in a size that can be read.
      "@media (max-width: 600px) { .tick { font-size: 19px; } .title { font-size: 22px; }\n"
      "  .legend { font-size: 15px; } .line { stroke-width: 3; } .axis { display: none; } }\n";
  for (std::size_t i = 0; i < light.size(); ++i) {
    css += fmt::format(".series-{} {{ --c: {}; }}\n", i, light[i]);
  }
  css += "@media (prefers-color-scheme: dark) {\n";
  for (std::size_t i = 0; i < dark.size(); ++i) {
    css += fmt::format("  .series-{} {{ --c: {}; }}\n", i, dark[i]);
  }
  return css + "}\n";
}

}  // namespace thaw
