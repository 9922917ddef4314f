#pragma once

#include <string>

#include "launch/compare/comparison.h"

namespace thaw {

/// Tables in Markdown, for people.
std::string comparison_markdown(const Comparison& comparison);

/// Everything, each run's curve included, for programs. Figures that do not exist are null.
std::string comparison_json(const Comparison& comparison);

/// One self-contained HTML page: tables, and curves of the validation score over samples and
/// over operations (over seconds too where they mean something). Nothing is loaded from elsewhere.
std::string comparison_page(const Comparison& comparison);

/// A cell: "0.912 ± 0.004", without the second part for a single value, "–" for none.
std::string cell(const Estimate& estimate, int digits);

/// The sentences below the tables: what the columns mean and how it was tested.
std::vector<std::string> comparison_notes(const Comparison& comparison);

/// A row's cells under `row_headings`, which leave out what was not measured.
std::vector<std::string> row_headings(const Comparison& comparison);
std::vector<std::string> row_cells(const Comparison& comparison, const ScheduleRow& row);

std::vector<std::string> difference_headings(const Comparison& comparison);
std::vector<std::string> difference_cells(const Difference& difference);

}  // namespace thaw
