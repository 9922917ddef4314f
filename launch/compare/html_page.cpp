#include "launch/compare/html_page.h"

#include <fmt/format.h>

#include "launch/compare/line_chart.h"

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

}  // namespace thaw
