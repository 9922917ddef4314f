#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "core/base/json_text.h"
#include "launch/compare/html_page.h"
#include "launch/compare/scaling.h"
#include "launch/compare/scaling_words.h"

namespace thaw {
namespace {

using Json = nlohmann::ordered_json;

std::vector<std::string> headings() {
  return {"stage",     "ranks",   "global batch",          "ms a step",
          "data",      "compute", "exposed communication", "samples/s",
          "efficiency"};
}

std::vector<std::string> cells(const ScalingRow& row) {
  return {row.stage,
          fmt::format("{}", row.ranks),
          fmt::format("{}", row.batch),
          milliseconds_text(row.step_seconds),
          milliseconds_text(row.data),
          milliseconds_text(row.compute),
          milliseconds_text(row.communication),
          fmt::format("{:.1f}", row.samples_per_second),
          fmt::format("{:.2f}", row.efficiency)};
}

std::vector<std::vector<std::string>> rows_of(const ScalingTable& table) {
  std::vector<std::vector<std::string>> rows = {headings()};
  for (const ScalingRow& row : table.rows) rows.push_back(cells(row));
  return rows;
}

/// Each stage's line, and behind them what would be in proportion to the ranks.
std::string chart(const std::vector<ScalingRow>& rows) {
  std::vector<ChartSeries> lines, ideals;
  for (const ScalingRow& row : rows) {
    if (!lines.empty() && lines.back().name == row.stage) continue;
    const std::size_t colour = lines.size();
    lines.push_back(measured_series(rows, row.stage, colour));
    // The first row of a stage is that of its fewest ranks.
    const double rate = row.samples_per_second / static_cast<double>(row.ranks);
    ideals.push_back(ideal_series(rate, lines.back().points.front().x, lines.back().points.back().x,
                                  colour, colour == 0 ? "in proportion to the ranks" : ""));
  }
  lines.insert(lines.end(), ideals.begin(), ideals.end());
  return line_chart(scaling_axes(lines), lines);
}

}  // namespace

const char* name_of(Scaling scaling) { return scaling == Scaling::kWeak ? "weak" : "strong"; }

std::string scaling_markdown(const ScalingFacts& facts, const std::vector<ScalingTable>& tables) {
  std::string text = fmt::format("# Scaling of {}\n", facts.configuration);
  for (const ScalingTable& table : tables) {
    text += fmt::format("\n## {}\n\n{}", title_of(table.scaling), markdown_table(rows_of(table)));
  }
  const std::vector<std::string> wide = wide_intervals(tables);
  if (!wide.empty()) text += "\n";
  for (const std::string& line : wide) text += fmt::format("- {}\n", line);
  return text + "\n" + scaling_note(facts) + "\n";
}

std::string scaling_json(const ScalingFacts& facts, const std::vector<ScalingTable>& tables) {
  Json json{{"configuration", facts.configuration},
            {"repetitions", facts.repetitions},
            {"steps", facts.steps},
            {"warm_up", facts.warm_up},
            {"threads", facts.threads > 0 ? Json(facts.threads) : Json(nullptr)},
            {"version", facts.version},
            {"tables", Json::array()},
            {"wide_intervals", wide_intervals(tables)}};
  for (const ScalingTable& table : tables) {
    Json rows = Json::array();
    for (const ScalingRow& row : table.rows) rows.push_back(scaling_row_json(row));
    json["tables"].push_back({{"scaling", name_of(table.scaling)}, {"rows", rows}});
  }
  return json_text(json, 1) + "\n";
}

std::string scaling_page(const ScalingFacts& facts, const std::vector<ScalingTable>& tables) {
  std::string body;
  for (const ScalingTable& table : tables) {
    body += "<h2>" + escape_html(title_of(table.scaling)) + "</h2>\n" + html_table(rows_of(table)) +
            chart(table.rows);
  }
  std::vector<std::string> notes = wide_intervals(tables);
  notes.push_back(scaling_note(facts));
  return html_page("Scaling of " + facts.configuration, body, notes);
}

}  // namespace thaw
