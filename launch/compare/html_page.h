#pragma once

#include <string>
#include <vector>

namespace thaw {

// Note [Pages by hand]
// `thaw compare` and `thaw scale` write their pages and charts themselves, some 250 lines here and
// in line_chart.cpp, rather than by Python from the JSON beside them: the command runs where there
// is no Python with a plotting library, the page is one file that opens on any machine, and tests
// read it as text. Who wants another plot needs none of this: comparison.json and scaling.json hold
// every figure, each run's curve included (`json.load`, then one call of matplotlib a curve).
// What a newcomer changes here is what a page shows: `section` in comparison_page.cpp, `chart` in
// scaling_text.cpp. How a chart looks is all in line_chart.cpp.

/// Text with the characters that HTML gives a meaning replaced.
std::string escape_html(const std::string& text);

/// Rows of plain text; the first is the heading.
std::string html_table(const std::vector<std::vector<std::string>>& rows);

/// A whole self-contained page, light and dark: `title` and `notes` are plain text, `body` is HTML.
std::string html_page(const std::string& title, const std::string& body,
                      const std::vector<std::string>& notes);

}  // namespace thaw
