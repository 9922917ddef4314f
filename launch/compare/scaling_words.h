#pragma once

#include <cstddef>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "launch/compare/html_page.h"
#include "launch/compare/scaling.h"

namespace thaw {

// What reports of scaling, measured or simulated, have in common.

/// "12.3 ± 0.4", without the interval where one run is all there is.
std::string milliseconds_text(const Estimate& seconds);
/// Of the part of a report.
std::string title_of(Scaling scaling);
/// How it was measured.
std::string scaling_note(const ScalingFacts& facts);
/// Rows of plain text as Markdown; the first is the heading.
std::string markdown_table(const std::vector<std::vector<std::string>>& rows);
nlohmann::ordered_json scaling_row_json(const ScalingRow& row);

/// Lines for people: which intervals are wider than their means, so that the means say nothing.
/// None where all are narrower.
std::vector<std::string> wide_intervals(const std::vector<ScalingTable>& tables);

/// The rows of one stage as samples a second over ranks; `colour`: the stage's number.
ChartSeries measured_series(const std::vector<ScalingRow>& rows, const std::string& stage,
                            std::size_t colour);
/// What would be in proportion to the ranks: `rate` samples a second for each, from `first` to
/// `last`. With a `name` it is in the legend.
ChartSeries ideal_series(double rate, double first, double last, std::size_t colour,
                         const std::string& name);
/// Axes for such lines: logarithmic ones, on which what is in proportion is straight, with a mark
/// at each number of ranks that was looked at.
ChartText scaling_axes(const std::vector<ChartSeries>& series);

}  // namespace thaw
