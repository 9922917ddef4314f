#include "launch/compare/comparison_text.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "core/base/json_text.h"
#include "core/record/number_text.h"
#include "core/schedule/metrics.h"
#include "launch/compare/verdict.h"

namespace thaw {
namespace {

using Json = nlohmann::ordered_json;

/// Columns that nothing was measured for are left out: whether any row has something to show.
bool any_row(const Comparison& comparison, bool (*has)(const ScheduleRow&)) {
  for (const FractionTable& table : comparison.fractions) {
    for (const ScheduleRow& row : table.rows) {
      if (has(row)) return true;
    }
  }
  return false;
}

bool gaps_known(const Comparison& comparison) {
  return any_row(comparison, [](const ScheduleRow& row) { return !std::isnan(row.loss_gap.mean); });
}

bool forgetting_known(const Comparison& comparison) {
  return any_row(comparison,
                 [](const ScheduleRow& row) { return !std::isnan(row.forgetting.mean); });
}

/// Then there is one column of it.
bool scored_by_loss(const Comparison& comparison) { return comparison.facts.metric == "loss"; }

bool rates_chosen(const Comparison& comparison) {
  return any_row(comparison, [](const ScheduleRow& row) { return row.learning_rate > 0; });
}

/// "+0.0123"; "–" for what does not exist.
std::string signed_number(double value, int digits) {
  return std::isfinite(value) ? fmt::format("{:+.{}f}", value, digits) : "–";
}

/// A probability as people write it.
std::string p_text(double p) {
  if (!std::isfinite(p)) return "–";
  return p < 0.001 ? "< 0.001" : fmt::format("{:.3f}", p);
}

/// With its spread, where there is one.
std::string count_cell(const Estimate& estimate) {
  if (!std::isfinite(estimate.mean)) return "–";
  return std::isfinite(estimate.half_width) && estimate.half_width > 0
             ? fmt::format("{} ± {}", number_text(estimate.mean),
                           number_text(estimate.half_width, 2))
             : number_text(estimate.mean);
}

/// "Accuracy", at the beginning of a sentence.
std::string capital(std::string word) {
  if (!word.empty() && word[0] >= 'a' && word[0] <= 'z') word[0] += 'A' - 'a';
  return word;
}

std::string markdown_row(const std::vector<std::string>& cells) {
  return fmt::format("| {} |\n", fmt::join(cells, " | "));
}

std::string markdown_head(const std::vector<std::string>& headings) {
  std::vector<std::string> rule(headings.size(), "---:");
  rule.front() = "---";
  return markdown_row(headings) + markdown_row(rule);
}

/// JSON knows no NaN.
Json number(double value) { return std::isfinite(value) ? Json(value) : Json(nullptr); }

Json json_of(const Estimate& estimate) {
  return {{"mean", number(estimate.mean)}, {"half_width", number(estimate.half_width)}};
}

Json json_of(const std::optional<double>& value) { return value ? number(*value) : Json(nullptr); }

/// One run with its whole curve, for plots of one's own.
Json json_of(const RunRecord& run, const std::string& metric) {
  Json curve = Json::array();
  for (const CurvePoint& point : run.curve) {
    curve.push_back({{"samples", point.samples},
                     {"seconds", point.seconds},
                     {"flops", point.flops},
                     {"loss", number(point.loss)},
                     {metric, number(point.score)}});
  }
  return {{"schedule", run.schedule},
          {"seed", run.seed},
          {"learning_rate", run.learning_rate},
          {metric, number(run.score())},
          {"loss", number(run.loss())},
          {"train_" + metric, json_of(run.train_score)},
          {"train_loss", json_of(run.train_loss)},
          {"test_" + metric, json_of(run.test_score)},
          {"test_loss", json_of(run.test_loss)},
          {"forgetting", json_of(run.forgetting)},
          {"samples", run.samples},
          {"seconds", run.seconds},
          {"flops", run.flops},
          {"curve", curve}};
}

Json json_of(const ScheduleRow& row, const std::string& metric) {
  return {{"schedule", row.schedule},
          {"learning_rate", row.learning_rate},
          {"seeds", row.seeds},
          {metric, json_of(row.score)},
          {"loss", json_of(row.loss)},
          {"area", json_of(row.area)},
          {metric + "_gap", json_of(row.score_gap)},
          {"loss_gap", json_of(row.loss_gap)},
          {"forgetting", json_of(row.forgetting)},
          {"reached_target", row.reached},
          {"samples_to_target", json_of(row.samples_to_target)},
          {"flops_to_target", json_of(row.flops_to_target)},
          {"seconds_to_target", json_of(row.seconds_to_target)},
          {"samples", json_of(row.samples)},
          {"flops", json_of(row.flops)},
          {"seconds", json_of(row.seconds)}};
}

Json json_of(const Difference& difference) {
  return {{"schedule", difference.schedule},
          {"difference", json_of(difference.test.difference)},
          {"p", number(difference.test.p)},
          {"p_corrected", number(difference.corrected_p)},
          {"smallest_visible", number(difference.test.smallest_visible)}};
}

Json json_of(const ScheduleVerdict& verdict) {
  return {{"best", verdict.best},
          {"tied", verdict.tied},
          {"behind", verdict.behind},
          {"words", verdict.words}};
}

}  // namespace

std::string cell(const Estimate& estimate, int digits) {
  if (!std::isfinite(estimate.mean)) return "–";
  std::string text = fmt::format("{:.{}f}", estimate.mean, digits);
  if (std::isfinite(estimate.half_width)) {
    text += fmt::format(" ± {:.{}f}", estimate.half_width, digits);
  }
  return text;
}

std::vector<std::string> row_headings(const Comparison& comparison) {
  std::vector<std::string> headings = {"schedule"};
  if (rates_chosen(comparison)) headings.emplace_back("learning rate");
  const std::string& metric = comparison.facts.metric;
  headings.push_back(metric);
  if (!scored_by_loss(comparison)) headings.emplace_back("loss");
  headings.push_back("area under validation " + metric);
  if (gaps_known(comparison)) {
    headings.push_back(metric + " gap");
    if (!scored_by_loss(comparison)) headings.emplace_back("loss gap");
  }
  if (forgetting_known(comparison)) headings.emplace_back("forgetting");
  headings.insert(headings.end(), {"reached target", "samples to target", "FLOPs to target"});
  if (comparison.facts.timed) headings.emplace_back("seconds to target");
  headings.insert(headings.end(), {"samples", "FLOPs"});
  if (comparison.facts.timed) headings.emplace_back("seconds");
  return headings;
}

std::vector<std::string> row_cells(const Comparison& comparison, const ScheduleRow& row) {
  std::vector<std::string> cells = {row.schedule};
  if (rates_chosen(comparison)) cells.push_back(fmt::format("{:g}", row.learning_rate));
  cells.push_back(cell(row.score, 4));
  if (!scored_by_loss(comparison)) cells.push_back(cell(row.loss, 4));
  cells.push_back(cell(row.area, 4));
  if (gaps_known(comparison)) {
    cells.push_back(cell(row.score_gap, 4));
    if (!scored_by_loss(comparison)) cells.push_back(cell(row.loss_gap, 4));
  }
  if (forgetting_known(comparison)) cells.push_back(cell(row.forgetting, 4));
  cells.push_back(fmt::format("{} of {}", row.reached, row.seeds.size()));
  cells.insert(cells.end(), {count_cell(row.samples_to_target), count_cell(row.flops_to_target)});
  if (comparison.facts.timed) cells.push_back(count_cell(row.seconds_to_target));
  cells.insert(cells.end(), {count_cell(row.samples), count_cell(row.flops)});
  if (comparison.facts.timed) cells.push_back(count_cell(row.seconds));
  return cells;
}

std::vector<std::string> difference_headings(const Comparison& comparison) {
  return {"schedule", comparison.facts.metric + " minus the first's", "p", "p, corrected",
          "smallest visible"};
}

std::vector<std::string> difference_cells(const Difference& difference) {
  const PairedTest& test = difference.test;
  std::string mean = signed_number(test.difference.mean, 4);
  if (std::isfinite(test.difference.half_width)) {
    mean += fmt::format(" ± {:.4f}", test.difference.half_width);
  }
  return {
      difference.schedule, mean, p_text(test.p), p_text(difference.corrected_p),
      std::isfinite(test.smallest_visible) ? fmt::format("{:.4f}", test.smallest_visible) : "–"};
}

std::vector<std::string> comparison_notes(const Comparison& comparison) {
  const ComparisonFacts& facts = comparison.facts;
  std::vector<std::string> notes = {
      fmt::format("{} seed{} a schedule; all schedules under the same budget of {}. Means with 95 "
                  "% confidence intervals (Student's t). {}{}: of the test split "
                  "where there is one, else of the last validation.",
                  facts.seeds, facts.seeds == 1 ? "" : "s", facts.budget, capital(facts.metric),
                  scored_by_loss(comparison) ? "" : " and loss"),
      fmt::format("Differences are taken seed by seed from {}; p is that of a two-sided paired "
                  "t-test, corrected by Holm's method for all differences of this report. Smallest "
                  "visible: the true difference that this test would have found with a probability "
                  "of 80 % at the 5 % level, uncorrected, given the spread seen.",
                  facts.schedules.front()),
      fmt::format("Target: the {0} on validation named above each table; FLOPs are those of matrix "
                  "products, convolutions and attention, estimated from counted steps. Area: the "
                  "mean validation {0} over the course of training.",
                  facts.metric)};
  if (gaps_known(comparison)) {
    notes.emplace_back(
        "Gaps: training minus validation, both measured in evaluation mode after training.");
  }
  if (forgetting_known(comparison)) {
    notes.push_back(
        fmt::format("Forgetting: {} on the source task before training minus after it, under that "
                    "task's own head.",
                    facts.forgetting_metric));
  }
  if (!facts.rates_chosen_by.empty()) notes.push_back(facts.rates_chosen_by);
  if (!facts.timed) notes.emplace_back("Runs shared cores, so times are left out.");
  notes.push_back(facts.version);
  return notes;
}

std::string comparison_markdown(const Comparison& comparison) {
  std::string text = fmt::format("# Schedules compared: {}\n", comparison.facts.configuration);
  for (const FractionTable& table : comparison.fractions) {
    text += fmt::format("\n## {:g} % of the training data, target {} {:.4f}\n\n",
                        100 * table.fraction, comparison.facts.metric, table.target);
    text += markdown_head(row_headings(comparison));
    for (const ScheduleRow& row : table.rows) {
      text += markdown_row(row_cells(comparison, row));
    }
    if (table.differences.empty()) continue;
    text += "\n" + markdown_head(difference_headings(comparison));
    for (const Difference& difference : table.differences) {
      text += markdown_row(difference_cells(difference));
    }
    text += "\n" + verdict_of(comparison.facts, table).words + "\n";
  }
  text += "\n";
  for (const std::string& note : comparison_notes(comparison)) text += "- " + note + "\n";
  return text;
}

std::string comparison_json(const Comparison& comparison) {
  const ComparisonFacts& facts = comparison.facts;
  const std::string metric = key_of_metric(facts.metric);
  Json json{{"configuration", facts.configuration},
            {"schedules", facts.schedules},
            {"budget", facts.budget},
            {"metric", facts.metric},
            {"lower_is_better", facts.lower_is_better},
            {"seeds", facts.seeds},
            {"timed", facts.timed},
            {"version", facts.version},
            {"fractions", Json::array()}};
  for (const FractionTable& table : comparison.fractions) {
    Json fraction{{"fraction", table.fraction},
                  {"target", number(table.target)},
                  {"rows", Json::array()},
                  {"differences", Json::array()},
                  {"verdict", json_of(verdict_of(facts, table))},
                  {"runs", Json::array()}};
    for (const ScheduleRow& row : table.rows) fraction["rows"].push_back(json_of(row, metric));
    for (const Difference& each : table.differences) {
      fraction["differences"].push_back(json_of(each));
    }
    for (const RunRecord& run : table.runs) fraction["runs"].push_back(json_of(run, metric));
    json["fractions"].push_back(fraction);
  }
  return json_text(json, 1) + "\n";
}

}  // namespace thaw
