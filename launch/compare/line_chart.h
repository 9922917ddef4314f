#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace thaw {

/// A line of a chart with the range around it.
struct ChartSeries {
  struct Point {
    double x = 0, y = 0;
    double low = 0, high = 0;
  };
  std::string name;
  std::vector<Point> points;  ///< by ascending x
};

/// A chart's title and what its axes show, plain text.
struct ChartText {
  std::string title, x, y;
};

/// A line chart as one `<svg>` element, with axes, a legend and a tooltip at each point. Colours
/// come from the page's CSS classes series-0, series-1, … (`chart_css`).
std::string line_chart(const ChartText& text, const std::vector<ChartSeries>& series);

/// Colours that differ; further series begin anew.
constexpr std::size_t kChartColours = 8;

/// For `<style>`, light and dark.
std::string chart_css();

}  // namespace thaw
