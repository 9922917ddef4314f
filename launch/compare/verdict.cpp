#include "launch/compare/verdict.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>

#include "core/record/number_text.h"
#include "launch/compare/comparison_text.h"
#include "launch/terminal/text_table.h"
#include "launch/terminal/text_width.h"

namespace thaw {
namespace {

constexpr double kLevel = 0.05;

/// Scores of one schedule, by seed.
std::vector<double> scores_by_seed(const FractionTable& table, const std::string& schedule) {
  std::vector<double> scores;
  for (const RunRecord& run : table.runs) {
    if (run.schedule == schedule) scores.push_back(run.score());
  }
  return scores;
}

const ScheduleRow& best_row(const ComparisonFacts& facts, const std::vector<ScheduleRow>& rows) {
  return *std::max_element(rows.begin(), rows.end(),
                           [&](const ScheduleRow& a, const ScheduleRow& b) {
                             const bool less = a.score.mean < b.score.mean;
                             return facts.lower_is_better ? a.score.mean > b.score.mean : less;
                           });
}

/// Of the schedules named, the one that takes fewest operations to the target, with its words; ""
/// where one of them has not reached it with every seed.
std::string cheapest_of(const FractionTable& table, const std::vector<std::string>& schedules) {
  const ScheduleRow* cheapest = nullptr;
  for (const ScheduleRow& row : table.rows) {
    if (std::find(schedules.begin(), schedules.end(), row.schedule) == schedules.end()) continue;
    if (row.reached < static_cast<std::int64_t>(row.seeds.size())) return "";
    if (cheapest == nullptr || row.flops_to_target.mean < cheapest->flops_to_target.mean) {
      cheapest = &row;
    }
  }
  return fmt::format(" Of these, {} got to the target with the fewest operations ({}).",
                     cheapest->schedule, number_text(cheapest->flops_to_target.mean));
}

/// Columns of numbers, each of its heading's words a line.
std::string broken_heading(std::string heading) {
  std::replace(heading.begin(), heading.end(), ' ', '\n');
  return heading;
}

using Cells = std::vector<std::string>;

/// Rows of cells, the first of them headings, as tables of at most so many columns.
std::string tables_of(const std::vector<Cells>& rows, std::size_t columns) {
  Cells headings = {rows[0][0]};
  for (std::size_t i = 1; i < rows[0].size(); ++i) {
    headings.push_back(">" + broken_heading(rows[0][i]));
  }
  TextTable table(headings);
  for (std::size_t r = 1; r < rows.size(); ++r) table.row(rows[r]);
  return table.folded(columns) + "\n";
}

const char* extreme_of(const ComparisonFacts& facts) {
  return facts.lower_is_better ? "lowest" : "highest";
}

/// How one schedule stands against each other.
struct Lead {
  std::vector<std::string> others;
  std::vector<double> p_values;  ///< of each difference, corrected; 1 where nothing pairs up
  double smallest_visible = 0;   ///< the largest of them: PairedTest::smallest_visible
};

Lead lead_of(const FractionTable& table, const std::string& schedule) {
  Lead lead;
  const std::vector<double> own = scores_by_seed(table, schedule);
  for (const ScheduleRow& row : table.rows) {
    if (row.schedule == schedule) continue;
    const std::vector<double> of_other = scores_by_seed(table, row.schedule);
    lead.others.push_back(row.schedule);
    lead.p_values.push_back(1);
    if (of_other.size() != own.size()) continue;
    const PairedTest test = paired_t_test(own, of_other);
    if (!std::isnan(test.p)) lead.p_values.back() = test.p;
    if (std::isfinite(test.smallest_visible)) {
      lead.smallest_visible = std::max(lead.smallest_visible, test.smallest_visible);
    }
  }
  lead.p_values = holm(lead.p_values);
  return lead;
}

/// Of several seeds.
std::string words_of(const ComparisonFacts& facts, const FractionTable& table,
                     const ScheduleRow& best, const ScheduleVerdict& verdict, const Lead& lead) {
  const std::string score = cell(best.score, 4);
  if (verdict.tied.empty()) {
    return fmt::format("{} serves best: {} {}, ahead of each other schedule by more than chance.",
                       best.schedule, facts.metric, score);
  }
  std::vector<std::string> together = {best.schedule};
  together.insert(together.end(), verdict.tied.begin(), verdict.tied.end());
  return fmt::format(
      "Which of {} serves best these runs cannot say: their {} differs by no more than chance "
      "({} has the {}, {}). A true difference below about {} would mostly not be seen with so many "
      "seeds.{}",
      fmt::join(together, ", "), facts.metric, best.schedule, extreme_of(facts), score,
      number_text(lead.smallest_visible, 2), cheapest_of(table, together));
}

}  // namespace

ScheduleVerdict verdict_of(const ComparisonFacts& facts, const FractionTable& table) {
  ScheduleVerdict verdict;
  if (table.rows.size() < 2) return verdict;
  const ScheduleRow& best = best_row(facts, table.rows);
  verdict.best = best.schedule;
  if (best.seeds.size() < 2) {
    for (const ScheduleRow& row : table.rows) {
      if (row.schedule != best.schedule) verdict.tied.push_back(row.schedule);
    }
    verdict.words = fmt::format(
        "{} reached the {} {} ({}), but one seed a schedule cannot say whether that is more than "
        "chance: use --seeds 5.",
        best.schedule, extreme_of(facts), facts.metric, cell(best.score, 4));
    return verdict;
  }
  const Lead lead = lead_of(table, best.schedule);
  double largest_p = 0;
  for (std::size_t i = 0; i < lead.others.size(); ++i) {
    const bool clear = lead.p_values[i] < kLevel;
    (clear ? verdict.behind : verdict.tied).push_back(lead.others[i]);
    if (clear) largest_p = std::max(largest_p, lead.p_values[i]);
  }
  verdict.words = words_of(facts, table, best, verdict, lead);
  if (!verdict.behind.empty()) {
    verdict.words += fmt::format(" Clearly behind: {} (p at most {:.2g}).",
                                 fmt::join(verdict.behind, ", "), largest_p);
  }
  return verdict;
}

std::string comparison_for_terminal(const Comparison& comparison, std::size_t columns) {
  std::string text =
      wrapped("Schedules compared: " + comparison.facts.configuration, columns, "", "  ");
  for (const FractionTable& table : comparison.fractions) {
    text += "\n" + wrapped(fmt::format("{:g} % of the training data, target {} {:.4f}",
                                       100 * table.fraction, comparison.facts.metric, table.target),
                           columns, "", "  ");
    std::vector<Cells> rows = {row_headings(comparison)};
    for (const ScheduleRow& row : table.rows) rows.push_back(row_cells(comparison, row));
    text += tables_of(rows, columns);
    if (table.differences.empty()) continue;
    rows = {difference_headings(comparison)};
    for (const Difference& each : table.differences) rows.push_back(difference_cells(each));
    text += tables_of(rows, columns);
    text += wrapped(verdict_of(comparison.facts, table).words, columns, "  ", "  ");
  }
  text += "\n";
  for (const std::string& note : comparison_notes(comparison))
    text += wrapped(note, columns, "- ", "  ");
  return text;
}

}  // namespace thaw
