#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>

#include "core/base/json_text.h"
#include "core/record/number_text.h"
#include "launch/compare/html_page.h"
#include "launch/compare/scaling_words.h"
#include "launch/simulate/simulation.h"

namespace thaw {
namespace {

using Json = nlohmann::ordered_json;

constexpr double kMebi = 1 << 20;
constexpr double kWorthNaming = 1.02;  ///< less is within what a replay can tell

std::vector<std::string> headings() {
  return {
      "stage",      "ranks",      "global batch", "by",        "ms a step", "exposed communication",
      "MiB a step", "GiB a rank", "samples/s",    "efficiency"};
}

std::vector<std::string> cells(const SimulatedPoint& point) {
  const StepForecast& step = point.step;
  return {point.stage,
          fmt::format("{}", point.ranks),
          fmt::format("{}", point.batch),
          "simulation",
          number_text(1e3 * step.seconds),
          number_text(1e3 * step.exposed),
          fmt::format("{:.1f}", static_cast<double>(step.payload_bytes) / kMebi),
          fmt::format("{:.2f}", static_cast<double>(step.memory_bytes) / (1024 * kMebi)),
          fmt::format("{:.1f}", point.samples_per_second),
          fmt::format("{:.2f}", point.efficiency)};
}

std::vector<std::string> cells(const ScalingRow& row) {
  return {row.stage,
          fmt::format("{}", row.ranks),
          fmt::format("{}", row.batch),
          "measurement",
          milliseconds_text(row.step_seconds),
          milliseconds_text(row.communication),
          "",
          "",
          fmt::format("{:.1f}", row.samples_per_second),
          fmt::format("{:.2f}", row.efficiency)};
}

/// Of the stages' rows, a stage's measured ones before its simulated ones.
std::vector<std::vector<std::string>> rows_of(const SimulatedTable& table,
                                              const std::vector<ScalingTable>& measured) {
  std::vector<std::vector<std::string>> rows = {headings()};
  for (const StageAdvice& stage : table.advice) {
    for (const ScalingTable& other : measured) {
      for (const ScalingRow& row : other.rows) {
        if (other.scaling == table.scaling && row.stage == stage.stage) rows.push_back(cells(row));
      }
    }
    for (const SimulatedPoint& point : table.points) {
      if (point.stage == stage.stage) rows.push_back(cells(point));
    }
  }
  return rows;
}

std::string gain_text(const Remedy& remedy) {
  return fmt::format("{} ({:.2f} times the samples/s{})", remedy.setting, remedy.gain,
                     remedy.same_training ? "" : ", another training");
}

/// "upper: more ranks pay off up to 64; …"
std::string advice_text(const StageAdvice& advice) {
  const ScalingLimit& limit = advice.limit;
  std::string text =
      limit.reached
          ? fmt::format("{}: more ranks pay off up to {}; {} bring {:.2f} times the samples/s.",
                        advice.stage, limit.ranks, 2 * limit.ranks, limit.next_gain)
          : fmt::format("{}: each doubling up to {} ranks pays off.", advice.stage, limit.ranks);
  std::vector<std::string> helps, rest;
  for (const Remedy& each : advice.remedies) {
    each.gain >= kWorthNaming ? helps.push_back(gain_text(each)) : rest.push_back(each.setting);
  }
  text += fmt::format(" At {} ranks {}", advice.ranks,
                      helps.empty() ? "no setting that was tried would help"
                                    : fmt::format("would help: {}", fmt::join(helps, "; ")));
  return text + (rest.empty() ? "." : fmt::format("; not: {}.", fmt::join(rest, ", ")));
}

/// What does not fit into the memory that the network's description tells.
std::vector<std::string> memory_notes(const SimulationQuestion& question,
                                      const SimulatedTable& table) {
  std::vector<std::string> notes;
  for (const SimulatedPoint& point : table.points) {
    if (question.network.memory <= 0 || point.step.memory_bytes <= question.network.memory)
      continue;
    notes.push_back(fmt::format("{} at {} ranks does not fit into the {:.1f} GiB of a rank.",
                                point.stage, point.ranks,
                                static_cast<double>(question.network.memory) / (1024 * kMebi)));
  }
  return notes;
}

std::vector<std::string> findings(const SimulationQuestion& question, const SimulatedTable& table) {
  std::vector<std::string> texts;
  for (const StageAdvice& each : table.advice) texts.push_back(advice_text(each));
  for (std::string& note : memory_notes(question, table)) texts.push_back(std::move(note));
  return texts;
}

/// Stages that are told as one of their segments.
std::vector<std::string> stages_of_segments(const CostsFile& costs) {
  std::vector<std::string> names;
  for (const StageCosts& stage : costs.stages) {
    if (!stage.resting.empty()) names.push_back(stage.stage);
  }
  return names;
}

std::string note(const SimulationFacts& facts, const SimulationQuestion& question) {
  std::string text = fmt::format(
      "Simulated: one step of a full batch, replayed bucket by bucket over the network \"{}\" from "
      "what one rank of {} thread{} measured ({}). Efficiency: samples a second a rank, over those "
      "of one rank. More ranks pay off as long as "
      "twice as many bring at least 1.5 times the samples/s. {}",
      question.network.name, question.costs.threads, question.costs.threads == 1 ? "" : "s",
      facts.costs, facts.version);
  const std::vector<std::string> segments = stages_of_segments(question.costs);
  if (!segments.empty()) {
    text += fmt::format(
        " Of {}, whose policy activates some groups at a time: its first segment, with the "
        "optimizer's state of all its groups.",
        fmt::join(segments, ", "));
  }
  if (facts.measured) text += " Measured: " + scaling_note(*facts.measured);
  return text;
}

Json json_of(const SimulatedPoint& point) {
  const StepForecast& step = point.step;
  return {{"by", "simulation"},
          {"stage", point.stage},
          {"ranks", point.ranks},
          {"batch", point.batch},
          {"step_seconds", step.seconds},
          {"forward_seconds", step.forward},
          {"backward_seconds", step.backward},
          {"optimizer_seconds", step.optimizer},
          {"other_seconds", step.other},
          {"sum_seconds", step.sums},
          {"communication_seconds", step.exposed},
          {"overlaps", step.overlaps},
          {"buckets", step.collectives},
          {"bytes_reduced", step.payload_bytes},
          {"padding_bytes", step.padding_bytes},
          {"sent_bytes", step.sent_bytes},
          {"memory_bytes", step.memory_bytes},
          {"samples_per_second", point.samples_per_second},
          {"efficiency", point.efficiency}};
}

Json json_of(const StageAdvice& advice) {
  Json remedies = Json::array();
  for (const Remedy& each : advice.remedies) {
    remedies.push_back({{"setting", each.setting},
                        {"gain", each.gain},
                        {"memory_bytes", each.memory_bytes},
                        {"same_training", each.same_training}});
  }
  return {{"stage", advice.stage},         {"pays_off_up_to", advice.limit.ranks},
          {"stops", advice.limit.reached}, {"next_gain", advice.limit.next_gain},
          {"compared_at", advice.ranks},   {"settings", remedies}};
}

ChartSeries series_of(const SimulatedTable& table, const std::string& stage, std::size_t colour) {
  ChartSeries series{stage + ", simulated", {}, /*dashed=*/true, colour};
  series.hollow = true;
  for (const SimulatedPoint& point : table.points) {
    if (point.stage != stage) continue;
    const double rate = point.samples_per_second;
    series.points.push_back({static_cast<double>(point.ranks), rate, rate, rate});
  }
  return series;
}

/// What would be in proportion to the ranks, from the one rank that the efficiency goes by.
ChartSeries ideal_of(const ChartSeries& simulated, const SimulatedPoint& point, double first,
                     const std::string& name) {
  const double rate =
      point.samples_per_second / static_cast<double>(point.ranks) / point.efficiency;
  const double from = std::min(first, simulated.points.front().x);
  return ideal_series(rate, from, simulated.points.back().x, simulated.colour, name);
}

/// Samples a second over ranks: simulated points are rings on dashed lines, measured ones full.
std::string chart(const SimulatedTable& table, const std::vector<ScalingTable>& measured) {
  std::vector<ChartSeries> lines, ideals;
  for (std::size_t i = 0; i < table.advice.size(); ++i) {
    const std::string& stage = table.advice[i].stage;
    double fewest = std::numeric_limits<double>::infinity();
    for (const ScalingTable& other : measured) {
      if (other.scaling != table.scaling) continue;
      ChartSeries its = measured_series(other.rows, stage, i);
      its.name += ", measured";
      if (its.points.empty()) continue;
      fewest = its.points.front().x;
      lines.push_back(std::move(its));
    }
    lines.push_back(series_of(table, stage, i));
    const auto first =
        std::find_if(table.points.begin(), table.points.end(),
                     [&](const SimulatedPoint& each) { return each.stage == stage; });
    ideals.push_back(
        ideal_of(lines.back(), *first, fewest, i == 0 ? "in proportion to the ranks" : ""));
  }
  lines.insert(lines.end(), ideals.begin(), ideals.end());
  return line_chart(scaling_axes(lines), lines);
}

std::string title_of(const SimulationFacts& facts, const SimulationQuestion& question) {
  return fmt::format("Scaling of {}, simulated for {}", facts.configuration, question.network.name);
}

}  // namespace

std::string simulation_markdown(const SimulationFacts& facts, const SimulationQuestion& question,
                                const std::vector<SimulatedTable>& tables,
                                const std::vector<ScalingTable>& measured) {
  std::string text = fmt::format("# {}\n", title_of(facts, question));
  for (const SimulatedTable& table : tables) {
    text += fmt::format("\n## {}\n\n{}\n", title_of(table.scaling),
                        markdown_table(rows_of(table, measured)));
    for (const std::string& each : findings(question, table)) text += fmt::format("- {}\n", each);
  }
  return text + "\n" + note(facts, question) + "\n";
}

std::string simulation_json(const SimulationFacts& facts, const SimulationQuestion& question,
                            const std::vector<SimulatedTable>& tables,
                            const std::vector<ScalingTable>& measured) {
  Json json{{"configuration", facts.configuration},
            {"network", question.network.name},
            {"costs", facts.costs},
            {"threads", question.costs.threads},
            {"version", facts.version},
            {"tables", Json::array()}};
  for (const SimulatedTable& table : tables) {
    Json rows = Json::array(), stages = Json::array();
    for (const ScalingTable& other : measured) {
      if (other.scaling != table.scaling) continue;
      for (const ScalingRow& row : other.rows) {
        Json its = Json::object();
        its["by"] = "measurement";
        its.update(scaling_row_json(row));
        rows.push_back(its);
      }
    }
    for (const SimulatedPoint& point : table.points) rows.push_back(json_of(point));
    for (const StageAdvice& each : table.advice) stages.push_back(json_of(each));
    json["tables"].push_back(
        {{"scaling", name_of(table.scaling)}, {"rows", rows}, {"stages", stages}});
  }
  return json_text(json, 1) + "\n";
}

std::string simulation_page(const SimulationFacts& facts, const SimulationQuestion& question,
                            const std::vector<SimulatedTable>& tables,
                            const std::vector<ScalingTable>& measured) {
  std::string body;
  for (const SimulatedTable& table : tables) {
    body += "<h2>" + escape_html(title_of(table.scaling)) + "</h2>\n" +
            html_table(rows_of(table, measured)) + chart(table, measured) + "<ul>\n";
    for (const std::string& each : findings(question, table)) {
      body += "<li>" + escape_html(each) + "</li>\n";
    }
    body += "</ul>\n";
  }
  return html_page(title_of(facts, question), body, {note(facts, question)});
}

}  // namespace thaw
