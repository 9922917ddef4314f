#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace thaw {

// Note [Pages by hand]
// `thaw compare` and `thaw scale` write their pages and charts themselves, some 250 lines here,
// rather than by Python from the JSON beside them: the command runs where there is no Python with a
// plotting library, the page is one file that opens on any machine, and tests read it as text. Who
// wants another plot needs none of this: comparison.json and scaling.json hold every figure, each
// run's curve included (`json.load`, then one call of matplotlib a curve).
// What a newcomer changes is what a page shows: `section` in comparison_page.cpp, `chart` in
// scaling_text.cpp. How a chart looks is all in html_page.cpp.

/// Text with the characters that HTML gives a meaning replaced.
std::string escape_html(const std::string& text);

/// Rows of plain text; the first is the heading.
std::string html_table(const std::vector<std::vector<std::string>>& rows);

/// A whole self-contained page, light and dark: `title` and `notes` are plain text, `body` is HTML.
std::string html_page(const std::string& title, const std::string& body,
                      const std::vector<std::string>& notes);

/// A line of a chart with the range around it.
struct ChartSeries {
  struct Point {
    double x = 0, y = 0;
    double low = 0, high = 0;
  };
  std::string name;
  std::vector<Point> points;  ///< by ascending x; what is no number leaves a gap
  bool dashed = false;
  std::size_t colour = kOwnColour;  ///< kOwnColour: by its place
  bool hollow = false;              ///< points are rings: what was not measured
  bool ideal = false;               ///< a thin line without points; in the legend if it has a name

  static constexpr std::size_t kOwnColour = ~std::size_t{0};
};

/// A chart's title and what its axes show, plain text.
struct ChartText {
  std::string title, x, y;
  bool logarithmic = false;          ///< y; what is not above 0 is left out
  bool logarithmic_x = false;        ///< likewise
  std::vector<double> ticks_x = {};  ///< where x has its numbers, ascending; none: at round ones
};

/// What a chart shows behind its lines.
struct ChartMarks {
  struct Band {
    double first = 0, last = 0;
    std::string name;  ///< told at its top where there is room, and when pointed at
  };
  struct Line {
    double x = 0;
    std::string name;
  };
  std::vector<Band> bands = {};
  std::vector<Line> lines = {};
};

/// A line chart as one `<svg>` element, with axes, a legend and a tooltip at each point (of lines
/// of few). Colours come from the page's CSS classes series-0, series-1, … (`chart_css`).
std::string line_chart(const ChartText& text, const std::vector<ChartSeries>& series,
                       const ChartMarks& marks = {});

/// Colours that differ; further series begin anew.
constexpr std::size_t kChartColours = 8;

/// For `<style>`, light and dark.
std::string chart_css();

}  // namespace thaw
