#include "launch/report/report_page.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "core/base/json_text.h"
#include "core/record/number_text.h"
#include "launch/compare/html_page.h"
#include "launch/report/report_charts.h"
#include "launch/terminal/text_table.h"

namespace thaw {
namespace {

using Rows = std::vector<std::vector<std::string>>;

std::string section(const std::string& title, const std::string& body) {
  return body.empty()
             ? ""
             : fmt::format("<section><h2>{}</h2>\n{}</section>\n", escape_html(title), body);
}

/// A part for each run, under its name where there are several.
std::string each_run(const std::vector<ReportRun>& runs, std::string (*part)(const ReportRun&)) {
  std::string html;
  for (const ReportRun& run : runs) {
    const std::string body = part(run);
    if (body.empty()) continue;
    if (runs.size() > 1) html += "<h3>" + escape_html(run.name) + "</h3>\n";
    html += body;
  }
  return html;
}

std::string paragraph(const std::string& text, const char* kind) {
  return fmt::format("<p class=\"{}\">{}</p>\n", kind, escape_html(text));
}

/// "0.5231 at step 120"; "–" where there is none.
std::string best_of(const ReportRun& run) {
  const FitVerdict fit = judge_fit(run.fit);
  const auto found = std::find_if(run.fit.begin(), run.fit.end(), [&](const FitPoint& point) {
    return point.step == fit.best_step;
  });
  return found == run.fit.end()
             ? "–"
             : fmt::format("{:.4f} at step {}", found->validation_loss, found->step);
}

std::string overview(const std::vector<ReportRun>& runs) {
  Rows rows = {{"run", "state", "steps", "epochs", "time", "best validation loss"}};
  std::vector<std::string> metrics;
  for (const ReportRun& run : runs) {
    for (const auto& [name, curve] : run.validation) {
      if (name != "loss" && std::find(metrics.begin(), metrics.end(), name) == metrics.end()) {
        metrics.push_back(name);
      }
    }
  }
  for (const std::string& name : metrics) rows[0].push_back("last " + name);
  for (const ReportRun& run : runs) {
    rows.push_back({run.name, run.state, with_commas(run.steps), fmt::format("{:.2f}", run.epoch),
                    clock_text(run.seconds), best_of(run)});
    for (const std::string& name : metrics) {
      const auto found = std::find_if(run.validation.begin(), run.validation.end(),
                                      [&](const auto& each) { return each.first == name; });
      rows.back().push_back(found == run.validation.end() || found->second.y.empty()
                                ? "–"
                                : number_text(found->second.y.back()));
    }
  }
  return html_table(rows);
}

std::string problems(const ReportRun& run) {
  std::string html;
  for (const std::string& problem : run.problems) html += paragraph(problem, "problem");
  return html;
}

std::string verdict(const ReportRun& run) { return paragraph(judge_fit(run.fit).words, "verdict"); }

std::string optional_text(const std::optional<double>& value, bool percent = false) {
  if (!value || !std::isfinite(*value)) return "–";
  return percent ? fmt::format("{:.1f} %", 100 * *value) : number_text(*value);
}

std::string groups(const ReportRun& run) {
  if (run.groups.empty()) return "";
  Rows rows = {{"group", "moved", "gradient norm", "share of step time"}};
  for (auto group = run.groups.rbegin(); group != run.groups.rend(); ++group) {
    if (group->second.empty()) continue;
    const GroupPoint& last = group->second.back();
    rows.push_back({group->first, optional_text(last.moved), optional_text(last.gradient_norm),
                    optional_text(last.time_share, true)});
  }
  return moved_map(run) +
         "<p>Moved: the distance of a group's weights from where training began, over their norm "
         "then. At the newest evaluation:</p>\n" +
         html_table(rows);
}

std::string stages(const ReportRun& run) {
  if (run.stages.empty()) return "";
  Rows rows = {{"stage", "steps", "active parameters", "peak memory", "active groups"}};
  for (const ReportStage& stage : run.stages) {
    rows.push_back({stage.name, fmt::format("{} to {}", stage.first_step + 1, stage.last_step),
                    stage.active_parameters > 0 ? with_commas(stage.active_parameters) : "–",
                    stage.peak_memory_bytes > 0 ? bytes_text(stage.peak_memory_bytes) : "–",
                    fmt::format("{}", fmt::join(stage.groups, ", "))});
  }
  return html_table(rows);
}

/// "1 step", "2 steps".
std::string counted(std::int64_t count, const char* what) {
  return fmt::format("{} {}{}", with_commas(count), what, count == 1 ? "" : "s");
}

std::string history(const ReportRun& run) {
  std::string html = "<ul>\n";
  for (const ReportResume& resume : run.resumes) {
    const std::string ranks =
        resume.ranks == resume.ranks_before
            ? ""
            : fmt::format(", on {} ranks in place of {}", resume.ranks, resume.ranks_before);
    const std::string lost =
        resume.lost_steps > 0 ? "; " + counted(resume.lost_steps, "step") + " made again" : "";
    html += fmt::format("<li>went on after step {}{}{}</li>\n", resume.step, ranks, lost);
  }
  if (run.resumes.empty()) html += "<li>never interrupted</li>\n";
  html += "<li>" + counted(run.checkpoints, "checkpoint") + " written</li>\n";
  if (run.skipped > 0) {
    html += "<li>" + counted(run.skipped, "step") + " skipped: values were not finite</li>\n";
  }
  return html + "</ul>\n";
}

std::string answers(const ReportRun& run) {
  std::string html;
  for (const ReportAnswer& answer : run.answers) {
    html += fmt::format("<pre><b>{}</b>{}</pre>\n", escape_html(answer.prompt),
                        escape_html(answer.answer));
  }
  return html.empty() ? "" : fmt::format("<p>At step {}:</p>\n", run.answers[0].step) + html;
}

std::string versions(const ReportRun& run) {
  Rows rows = {{"what", "value"}};
  for (const auto& [name, value] : run.versions) rows.push_back({name, value});
  return rows.size() == 1 ? "" : html_table(rows);
}

/// JSON in which nothing ends the element that it stands in.
std::string data_element(const std::vector<ReportRun>& runs) {
  nlohmann::ordered_json all = nlohmann::ordered_json::array();
  for (const ReportRun& run : runs) all.push_back(report_json(run));
  std::string text;
  for (const char c : json_text(all)) {
    if (c == '<') {
      text += "\\u003c";
    } else {
      text += c;
    }
  }
  return "<script type=\"application/json\" id=\"report-data\">" + text + "</script>\n";
}

std::string reload_element(int seconds) {
  if (seconds <= 0) return "";
  return fmt::format(
      "<p class=\"live\">Live: this page loads itself anew every {0} s.</p>\n"
      "<script>setTimeout(function () {{ location.reload(); }}, {0} * 1000);</script>\n",
      seconds);
}

}  // namespace

std::string report_page(const std::vector<ReportRun>& runs, const PageOptions& options) {
  const bool alone = runs.size() == 1;
  std::string body = "<style>\n" + report_css() + "</style>\n" +
                     reload_element(options.reload_seconds) + overview(runs) +
                     each_run(runs, problems);
  body += section("Training and validation", loss_chart(runs) + each_run(runs, verdict));
  body += section("Metrics", metric_charts(runs));
  body += section("Groups", each_run(runs, groups));
  body += section("Learning rates", each_run(runs, rate_chart));
  body += section("Where time went", each_run(runs, time_table) + speed_chart(runs));
  body += section("Stages", each_run(runs, stages));
  body += section("Classes", each_run(runs, confusion_table));
  body += section("Samples", each_run(runs, answers));
  body += section("Interruptions", each_run(runs, history));
  body += section("Versions", each_run(runs, versions));
  body += data_element(runs);
  std::vector<std::string> notes = {
      "Training loss is taken while weights move, with dropout where there is any; validation loss "
      "is taken without both.",
      "Steps without a line in metrics.jsonl (output.log-every) count in times as those with one."};
  if (!alone) notes.emplace_back("Stages are marked on pages of one run.");
  notes.push_back(options.made);
  return html_page(alone ? runs[0].name : fmt::format("{} runs", runs.size()), body, notes);
}

}  // namespace thaw
